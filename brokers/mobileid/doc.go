// Package mobileid is the Mobile-ID upstream (Estonia): the telephone's SIM signs
// our challenge after PIN1, by way of the relying-party API of its operator
// (Mobile-ID REST API).
//
// The citizen enters telephone number and personal code, sees a verification
// code, and only then the telephone rings. The provider polls. What comes back is
// believed only as far as the signature over our own challenge, the certificate's
// path, policy and revocation, and the personal code in it go.
//
// Left out: asking beforehand whether somebody is a customer, and Lithuania,
// whose numbers are not read yet.
package mobileid
