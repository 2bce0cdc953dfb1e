package saml

import (
	"slices"
	"strings"
)

// ValidateResponse judges a samlp:Response and returns what it asserts. The
// answer is read only where a demanded signature covers it. Refusals are
// *brokers.RejectedError, failed logins *StatusError. The caller still has to
// use up the assertion (Assertion.Use).
func ValidateResponse(message []byte, e Expectation) (*Assertion, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	root, err := e.parser(e.Limits).parse(message)
	if err != nil {
		return nil, err
	}
	if !root.is(protocolNS, "Response") {
		return nil, reject(ReasonSchema, "root is no Response")
	}
	if err := checkShape(root, e.Lenient); err != nil {
		return nil, err
	}
	j := judgement{Expectation: e}
	return j.response(root, nil)
}

// ValidateArtifactResponse judges the SOAP answer to an ArtifactResolve and the
// Response inside it. An answer without a Response is refused with
// ReasonNoResponse: the artifact was known and has expired.
func ValidateArtifactResponse(message []byte, e Expectation) (*Assertion, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	root, err := e.parser(e.Limits).parse(message)
	if err != nil {
		return nil, err
	}
	if !root.is(soapNS, "Envelope") {
		return nil, reject(ReasonSOAP, "root is no SOAP envelope")
	}
	if body := root.child(soapNS, "Body"); body.child(soapNS, "Fault") != nil {
		return nil, reject(ReasonSOAP, "fault")
	}
	if err := checkShape(root, e.Lenient); err != nil {
		return nil, err
	}
	outer := onlyMessage(root)
	if !outer.is(protocolNS, "ArtifactResponse") {
		return nil, reject(ReasonSOAP, "no ArtifactResponse")
	}
	j := judgement{Expectation: e}
	return j.artifactResponse(outer)
}

// onlyMessage is the message in the body of an envelope; nil if it is not alone.
func onlyMessage(envelope *element) *element {
	body := envelope.child(soapNS, "Body")
	if body == nil || len(body.elements()) != 1 {
		return nil
	}
	return body.elements()[0]
}

// judgement is one answer on its way through the checks.
type judgement struct {
	Expectation
	signed Coverage
	opened bool // the assertion came encrypted
	named  string
}

func (j *judgement) verifier() *verifier {
	return &verifier{
		certificates: j.Certificates, now: j.Now, lenient: j.Lenient,
		parse: func(covered []byte) (*element, error) {
			return j.parser(j.Limits.ofVerified()).parse(covered)
		},
	}
}

func (j *judgement) artifactResponse(received *element) (*Assertion, error) {
	if err := j.header(received, j.ResolveID, envelopeHeader); err != nil {
		return nil, err
	}
	verified, err := j.verifier().verify(received)
	if err != nil {
		return nil, err
	}
	j.signed.Envelope = verified != nil
	if j.Signed.Envelope && verified == nil {
		return nil, reject(ReasonSignatureMissing, "ArtifactResponse")
	}
	trusted := received
	if verified != nil {
		trusted = verified
		if err := j.header(trusted, j.ResolveID, envelopeHeader); err != nil {
			return nil, err
		}
	}
	if err := checkStatus(trusted, StatusError{Envelope: true, Signed: verified != nil}); err != nil {
		return nil, err
	}
	inner := received.child(protocolNS, "Response")
	if inner == nil {
		return nil, reject(ReasonNoResponse, "artifact resolved to nothing")
	}
	// Without a signature on the envelope, the response is as good as posted.
	return j.response(inner, verified.child(protocolNS, "Response"))
}

// response judges a Response. covered is its verified copy if an enclosing
// signature covers it.
//
// Signatures are verified where they stand in the received document, since an
// enclosing canonical form may lack namespaces that an inner one needs; shape
// checks have made sure that each element occurs once, so received and verified
// elements correspond.
func (j *judgement) response(received, covered *element) (*Assertion, error) {
	if err := j.header(received, j.RequestID, responseHeader); err != nil {
		return nil, err
	}
	verified, err := j.verifier().verify(received)
	if err != nil {
		return nil, err
	}
	j.signed.Response = verified != nil
	if j.Signed.Response && verified == nil {
		return nil, reject(ReasonSignatureMissing, "Response")
	}
	if verified == nil {
		verified = covered
	}
	trusted := received
	if verified != nil {
		trusted = verified
		if err := j.header(trusted, j.RequestID, responseHeader); err != nil {
			return nil, err
		}
	}
	// SAML core 3.2.2: the status of a response that nothing signs can only make
	// the login fail.
	if err := checkStatus(trusted, StatusError{Signed: verified != nil}); err != nil {
		return nil, err
	}
	assertion, err := j.onlyAssertion(received, verified)
	if err != nil {
		return nil, err
	}
	return j.assertion(assertion)
}

// onlyAssertion returns the verified bytes of the one assertion, plain or
// encrypted.
func (j *judgement) onlyAssertion(received, covered *element) (*element, error) {
	found := received.all(assertionNS, "Assertion")
	encrypted := received.all(assertionNS, "EncryptedAssertion")
	switch {
	case len(found)+len(encrypted) != 1:
		return nil, reject(ReasonAssertionCount, "%d assertions", len(found)+len(encrypted))
	case len(encrypted) == 1:
		return j.encryptedAssertion(encrypted[0], covered)
	case j.Decryption.Required:
		return nil, reject(ReasonEncryption, "assertion in the clear")
	}
	verified, err := j.verifier().verify(found[0])
	if err != nil {
		return nil, err
	}
	j.signed.Assertion = verified != nil
	if j.Signed.Assertion && verified == nil {
		return nil, reject(ReasonSignatureMissing, "Assertion")
	}
	if verified == nil {
		verified = covered.child(assertionNS, "Assertion")
	}
	if verified == nil {
		return nil, reject(ReasonSignatureMissing, "nothing signs the assertion")
	}
	return verified, nil
}

// encryptedAssertion opens an EncryptedAssertion. Where an enclosing signature was
// verified, its bytes are what is decrypted.
func (j *judgement) encryptedAssertion(received, covered *element) (*element, error) {
	source := received
	if covered != nil {
		if source = covered.child(assertionNS, "EncryptedAssertion"); source == nil {
			return nil, reject(ReasonSignatureMissing, "nothing signs the assertion")
		}
	}
	inner, err := j.decrypted(source, received, covered != nil, "Assertion")
	if err != nil {
		return nil, err
	}
	j.opened = true
	verified, err := j.verifier().verify(inner)
	if err != nil {
		return nil, err
	}
	j.signed.Assertion = verified != nil
	switch {
	case verified != nil:
		return verified, nil
	case j.Signed.Assertion:
		return nil, reject(ReasonSignatureMissing, "Assertion")
	case covered == nil:
		// Everybody can encrypt for us (threat X-73).
		return nil, reject(ReasonSignatureMissing, "nothing signs the assertion")
	}
	return inner, nil
}

// headerKind is what differs between the two headers.
type headerKind int

const (
	envelopeHeader headerKind = iota
	responseHeader
)

// header checks the attributes that every answer has (SAML Core 3.2.2).
func (j *judgement) header(e *element, requestID string, kind headerKind) error {
	if err := j.messageCommon(e); err != nil {
		return err
	}
	destination, addressed := e.attribute("Destination")
	switch {
	case kind == envelopeHeader:
		// The back channel is mutual TLS; its address is not ours to compare.
	case addressed && (destination == "" || !j.Lenient.AnyRecipient && destination != j.Recipient):
		return reject(ReasonDestination, "another destination")
	case !addressed && !j.DestinationOptional && !j.Lenient.Profile:
		return reject(ReasonDestination, "no destination")
	}
	answered, present := e.attribute("InResponseTo")
	switch {
	case j.Lenient.AnyRequest:
	case !present:
		return reject(ReasonUnsolicited, "%s answers no request", e.local)
	case answered != requestID || requestID == "":
		return reject(ReasonInResponseTo, "%s answers another request", e.local)
	}
	return nil
}

// messageCommon checks Version, ID, IssueInstant and Issuer of a message or of
// an assertion.
func (j *judgement) messageCommon(e *element) error {
	if e.value("Version") != version {
		return reject(ReasonVersion, "%s of another version", e.local)
	}
	if id := e.value("ID"); id == "" || !isName(id) && !j.Lenient.Profile {
		return reject(ReasonID, "%s without a proper ID", e.local)
	}
	issued, err := e.instant("IssueInstant", ReasonIssueInstant, j.Lenient)
	switch {
	case err != nil:
		return err
	case issued.IsZero():
		return reject(ReasonIssueInstant, "%s without IssueInstant", e.local)
	case j.Lenient.AnyTime:
	case issued.After(j.Now.Add(j.Skew)):
		return reject(ReasonIssueInstant, "%s issued in the future", e.local)
	case !j.Lenient.AnyRequest && issued.Before(j.RequestedAt.Add(-j.Skew)):
		return reject(ReasonIssueInstant, "%s issued before the request", e.local)
	}
	return j.issuer(e)
}

func (j *judgement) issuer(e *element) error {
	issuer := e.child(assertionNS, "Issuer")
	if issuer == nil {
		// SAML Profiles 4.1.4.2.
		if j.Lenient.Profile && e.is(protocolNS, "Response") && e.child(signatureNS, "Signature") == nil && !j.signed.Response {
			return nil
		}
		return reject(ReasonIssuer, "%s without Issuer", e.local)
	}
	name, _ := issuer.text()
	if j.Lenient.Profile {
		name = strings.TrimSpace(name)
	}
	if j.Lenient.AnyIssuer {
		// Whoever it is, it is one (SAML Profiles 4.1.4.2).
		if isBlank(name) || j.named != "" && name != j.named {
			return reject(ReasonIssuer, "%s of another issuer", e.local)
		}
		j.named = name
	}
	if !j.Lenient.AnyIssuer && name != j.Issuer && !slices.Contains(j.OtherIssuers, name) {
		return reject(ReasonIssuer, "%s of another issuer", e.local)
	}
	if format, present := issuer.attribute("Format"); present && format != formatEntity && !j.Lenient.Profile {
		return reject(ReasonIssuer, "Issuer is not an entity")
	}
	return nil
}

// checkStatus turns a failure into a copy of failed with its codes.
func checkStatus(e *element, failed StatusError) error {
	status := e.child(protocolNS, "Status")
	code := status.child(protocolNS, "StatusCode")
	if code == nil {
		return reject(ReasonStatus, "no status code")
	}
	second := code.child(protocolNS, "StatusCode")
	top := code.value("Value")
	switch top {
	case StatusSuccess:
		if second != nil {
			return reject(ReasonStatus, "success with a second status")
		}
		return nil
	case StatusRequester, StatusResponder, StatusVersionMismatch:
	default:
		return reject(ReasonStatus, "unknown status code")
	}
	failed.Top = top
	if second != nil {
		failed.Second = listed(second.value("Value"))
	}
	if message := status.child(protocolNS, "StatusMessage"); message != nil {
		failed.Message, _ = message.text()
		failed.Message = failed.Message[:min(len(failed.Message), maxStatusMessage)]
	}
	return &failed
}

// secondStatuses are the codes of SAML Core 3.2.2.2 that stand below a top code.
func secondStatuses() []string {
	names := []string{
		"AuthnFailed", "InvalidAttrNameOrValue", "InvalidNameIDPolicy", "NoAuthnContext",
		"NoAvailableIDP", "NoPassive", "NoSupportedIDP", "PartialLogout", "ProxyCountExceeded",
		"RequestDenied", "RequestUnsupported", "RequestVersionDeprecated", "RequestVersionTooHigh",
		"RequestVersionTooLow", "ResourceNotRecognized", "TooManyResponses",
		"UnknownAttrProfile", "UnknownPrincipal", "UnsupportedBinding",
	}
	for i, name := range names {
		names[i] = statusPrefix + name
	}
	return names
}

func listed(code string) string {
	if slices.Contains(secondStatuses(), code) {
		return code
	}
	return "unlisted"
}
