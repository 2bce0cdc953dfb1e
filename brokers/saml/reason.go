package saml

import (
	"errors"
	"fmt"

	"github.com/eidbridge/eidbridge/brokers"
)

// Reason names the check that a message failed. It is stable, goes to the audit
// log as the Reason of a *brokers.RejectedError, and never to the browser.
type Reason string

// Reasons in the order of the checks.
const (
	ReasonBinding     Reason = "binding"      // wrong HTTP method, content type or parameters
	ReasonEncoding    Reason = "encoding"     // Base64 or DEFLATE
	ReasonTooLarge    Reason = "too_large"    // a budget of Limits
	ReasonXML         Reason = "xml"          // not well-formed, or a construct that is never allowed
	ReasonDuplicateID Reason = "duplicate_id" // two elements with one identifier
	ReasonSchema      Reason = "schema"       // element unknown, repeated or out of order

	ReasonSOAP         Reason = "soap"          // no envelope with one message, or a fault
	ReasonVersion      Reason = "version"       // Version other than 2.0
	ReasonID           Reason = "id"            // message without identifier
	ReasonIssueInstant Reason = "issue_instant" // missing, malformed, before the request or in the future
	ReasonDestination  Reason = "destination"   // meant for another endpoint
	ReasonIssuer       Reason = "issuer"        // another issuer than the one asked
	ReasonInResponseTo Reason = "in_response_to"
	ReasonUnsolicited  Reason = "unsolicited" // answers no request

	ReasonSignatureMissing   Reason = "signature_missing"
	ReasonSignatureForm      Reason = "signature_form"      // reference, transforms, position or content
	ReasonSignatureAlgorithm Reason = "signature_algorithm" // not on the list
	ReasonSignatureKey       Reason = "signature_key"       // no trusted key that may be used
	ReasonSignatureInvalid   Reason = "signature_invalid"   // digest or value

	ReasonStatus            Reason = "status" // malformed; a failure is a *StatusError
	ReasonArtifact          Reason = "artifact"
	ReasonNoResponse        Reason = "no_response" // artifact resolved to nothing: expired
	ReasonAssertionCount    Reason = "assertion_count"
	ReasonEncryption        Reason = "encryption" // form or algorithm, judged before a key is used
	ReasonDecryption        Reason = "decryption" // everything that fails afterwards
	ReasonSubject           Reason = "subject"
	ReasonConfirmation      Reason = "confirmation"
	ReasonConditions        Reason = "conditions"
	ReasonNotYetValid       Reason = "not_yet_valid"
	ReasonExpired           Reason = "expired"
	ReasonAudience          Reason = "audience"
	ReasonAuthnStatement    Reason = "authn_statement"
	ReasonAuthnInstant      Reason = "authn_instant"
	ReasonContextClass      Reason = "context_class"
	ReasonAttributes        Reason = "attributes"
	ReasonReplay            Reason = "replay"
	ReasonRelayState        Reason = "relay_state"
	ReasonBackChannel       Reason = "back_channel" // wraps ErrUnavailable
	ReasonMetadata          Reason = "metadata"
	ReasonMetadataExpired   Reason = "metadata_expired"
	ReasonMetadataEndpoint  Reason = "metadata_endpoint"
	ReasonMetadataSignature Reason = "metadata_signature"
	ReasonMetadataRollback  Reason = "metadata_rollback" // older than the copy in force
)

// reject makes the error of a failed check. The text is ours: nothing of the
// message may go into it.
func reject(reason Reason, format string, args ...any) error {
	return &brokers.RejectedError{
		Reason: string(reason), Category: reason.category(), Err: fmt.Errorf(format, args...),
	}
}

func (r Reason) category() brokers.Category {
	switch r {
	case ReasonBackChannel:
		return brokers.CategoryUnavailable
	case ReasonNoResponse:
		return brokers.CategoryTimeout
	case ReasonMetadata, ReasonMetadataExpired, ReasonMetadataEndpoint, ReasonMetadataSignature, ReasonMetadataRollback:
		return brokers.CategoryConfiguration
	}
	return brokers.CategoryProtocol
}

// ReasonOf returns why a message was refused, or "" if err is something else.
func ReasonOf(err error) Reason {
	var rejected *brokers.RejectedError
	if errors.As(err, &rejected) {
		return Reason(rejected.Reason)
	}
	return ""
}

// StatusError is an answer that says that the request failed. Nothing else of
// such an answer is read.
type StatusError struct {
	// Top and Second are the two status codes. Codes that SAML Core does not list
	// read "unlisted": the text of a message is not for logs.
	Top, Second string
	// Message is the StatusMessage, at most 256 bytes. It is written by the
	// identity provider: compare it, do not show it.
	Message string
	// Envelope says that the failure is of the artifact resolution, not of the
	// login.
	Envelope bool
	// Signed says that a signature covers the status.
	Signed bool
}

func (e *StatusError) Error() string {
	where := "login"
	if e.Envelope {
		where = "artifact resolution"
	}
	return where + " failed with status " + shortStatus(e.Top) + "/" + shortStatus(e.Second)
}
