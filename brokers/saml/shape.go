package saml

// particle is one place in a content model.
type particle struct {
	ns, local string
	most      int // 0 is any number
}

// content is what an element may hold.
type content int

const (
	inOrder  content = iota // child elements in the order of the particles
	anyOrder                // child elements of the particles in any order
	text                    // character data only
	opaque                  // elements of other vocabularies, not looked into
	foreign                 // checked where it is used (signatures)
)

type model struct {
	kind      content
	particles []particle
}

// modelOf is the part of the SAML schemas that identity providers use in
// answers (SAML Core 2 and 3). Minimum counts are not here: what must be there is
// asked for where it is read. The second result is false for unknown elements.
func modelOf(e *element) (model, bool) {
	switch e.ns {
	case protocolNS:
		return protocolModel(e.local)
	case assertionNS:
		return assertionModel(e.local)
	case signatureNS:
		return model{kind: foreign}, e.local == "Signature"
	case soapNS:
		switch e.local {
		case "Envelope":
			return model{particles: []particle{{soapNS, "Header", 1}, {soapNS, "Body", 1}}}, true
		case "Header":
			return model{kind: opaque}, true
		case "Body":
			return model{particles: []particle{{protocolNS, "ArtifactResponse", 1}, {protocolNS, "LogoutRequest", 1}}}, true
		}
	}
	return model{}, false
}

func protocolModel(local string) (model, bool) {
	switch local {
	case "ArtifactResponse":
		return model{particles: []particle{
			{assertionNS, "Issuer", 1},
			{signatureNS, "Signature", 1},
			{protocolNS, "Extensions", 1},
			{protocolNS, "Status", 1},
			{protocolNS, "Response", 1},
		}}, true
	case "Response":
		// The number of assertions is judged later, under a name of its own.
		return model{particles: []particle{
			{assertionNS, "Issuer", 1},
			{signatureNS, "Signature", 1},
			{protocolNS, "Extensions", 1},
			{protocolNS, "Status", 1},
			{assertionNS, "Assertion", 0},
			{assertionNS, "EncryptedAssertion", 0},
		}}, true
	case "LogoutRequest":
		return model{particles: []particle{
			{assertionNS, "Issuer", 1},
			{signatureNS, "Signature", 1},
			{protocolNS, "Extensions", 1},
			{assertionNS, "NameID", 1},
			{assertionNS, "EncryptedID", 1},
			{protocolNS, "SessionIndex", 0},
		}}, true
	case "LogoutResponse":
		return model{particles: []particle{
			{assertionNS, "Issuer", 1},
			{signatureNS, "Signature", 1},
			{protocolNS, "Extensions", 1},
			{protocolNS, "Status", 1},
		}}, true
	case "Status":
		return model{particles: []particle{
			{protocolNS, "StatusCode", 1}, {protocolNS, "StatusMessage", 1}, {protocolNS, "StatusDetail", 1},
		}}, true
	case "StatusCode":
		return model{particles: []particle{{protocolNS, "StatusCode", 1}}}, true
	case "StatusMessage", "SessionIndex":
		return model{kind: text}, true
	case "StatusDetail", "Extensions":
		return model{kind: opaque}, true
	}
	return model{}, false
}

func assertionModel(local string) (model, bool) {
	switch local {
	case "Assertion":
		return model{particles: []particle{
			{assertionNS, "Issuer", 1},
			{signatureNS, "Signature", 1},
			{assertionNS, "Subject", 1},
			{assertionNS, "Conditions", 1},
			{assertionNS, "Advice", 1},
			{assertionNS, "AuthnStatement", 0},
			{assertionNS, "AttributeStatement", 0},
		}}, true
	case "Subject":
		return model{particles: []particle{
			{assertionNS, "NameID", 1},
			{assertionNS, "EncryptedID", 1},
			{assertionNS, "SubjectConfirmation", 0},
		}}, true
	case "SubjectConfirmation":
		return model{particles: []particle{{assertionNS, "SubjectConfirmationData", 1}}}, true
	case "SubjectConfirmationData", "OneTimeUse", "SubjectLocality":
		return model{}, true
	case "Conditions":
		return model{kind: anyOrder, particles: []particle{
			{assertionNS, "AudienceRestriction", 0},
			{assertionNS, "OneTimeUse", 1},
			{assertionNS, "ProxyRestriction", 1},
		}}, true
	case "AudienceRestriction", "ProxyRestriction":
		return model{particles: []particle{{assertionNS, "Audience", 0}}}, true
	case "AuthnStatement":
		return model{particles: []particle{{assertionNS, "SubjectLocality", 1}, {assertionNS, "AuthnContext", 1}}}, true
	case "AuthnContext":
		return model{particles: []particle{
			{assertionNS, "AuthnContextClassRef", 1},
			{assertionNS, "AuthnContextDeclRef", 1},
			{assertionNS, "AuthenticatingAuthority", 0},
		}}, true
	case "AttributeStatement":
		return model{particles: []particle{{assertionNS, "Attribute", 0}}}, true
	case "Attribute":
		return model{particles: []particle{{assertionNS, "AttributeValue", 0}}}, true
	case "Issuer", "NameID", "Audience", "AuthnContextClassRef", "AuthnContextDeclRef",
		"AuthenticatingAuthority", "AttributeValue":
		return model{kind: text}, true
	case "Advice", "EncryptedAssertion", "EncryptedID":
		return model{kind: opaque}, true
	}
	return model{}, false
}

// checkShape walks a message and refuses elements that are unknown, repeated or
// out of order, and text where elements belong (threats ). With it,
// nothing can hide: every Signature, Assertion and Response stands where the
// rest of this package looks for it.
func checkShape(e *element, lenient Leniency) error {
	m, known := modelOf(e)
	switch {
	case !known:
		return reject(ReasonSchema, "unknown element in %s", e.parentPath())
	case m.kind == foreign:
		return nil
	case m.kind == opaque:
		return checkOpaque(e, lenient)
	case m.kind == text && e.encryptedValue() != nil:
		return nil
	case m.kind == text:
		if _, plain := e.text(); !plain && (e.local != "AttributeValue" || !lenient.StructuredValues) {
			return reject(ReasonSchema, "element inside a value in %s", e.parentPath())
		}
		return checkHidden(e, e.path())
	}
	if hasText(e) {
		return reject(ReasonSchema, "text between elements in %s", e.path())
	}
	counts := make([]int, len(m.particles))
	reached := 0
	for _, child := range e.elements() {
		at := m.find(child)
		if at < 0 && lenient.Profile && passedOver(e, child) {
			continue
		}
		if at < 0 {
			return reject(ReasonSchema, "unexpected element in %s", e.path())
		}
		counts[at]++
		if most := m.particles[at].most; most > 0 && counts[at] > most {
			return reject(ReasonSchema, "repeated element in %s", e.path())
		}
		if m.kind == inOrder && at < reached && !interleaved(child) && !lenient.ElementOrder {
			return reject(ReasonSchema, "element out of order in %s", e.path())
		}
		reached = max(reached, at)
		if err := checkShape(child, lenient); err != nil {
			return err
		}
	}
	return nil
}

// passedOver are the elements that the SAML schemas have and this package never
// reads: what may be done, a context in full, and who else may present the assertion.
func passedOver(e, child *element) bool {
	switch e.local {
	case "Assertion":
		return child.is(assertionNS, "AuthzDecisionStatement")
	case "AuthnContext":
		return child.is(assertionNS, "AuthnContextDecl")
	case "SubjectConfirmation":
		return child.is(assertionNS, "BaseID") || child.is(assertionNS, "NameID") || child.is(assertionNS, "EncryptedID")
	case "SubjectConfirmationData":
		return child.is(signatureNS, "KeyInfo") // of a holder of key
	}
	return false
}

func (m model) find(child *element) int {
	for i, p := range m.particles {
		if child.is(p.ns, p.local) {
			return i
		}
	}
	return -1
}

// interleaved are the elements that the schema lets follow each other in any
// order: the statements of an assertion.
func interleaved(e *element) bool {
	return e.is(assertionNS, "AuthnStatement") || e.is(assertionNS, "AttributeStatement")
}

// checkOpaque keeps SAML and signatures out of the places that are not looked
// into. Advice holds assertions by its nature and is refused unless the profile
// has it; what is encrypted is read by readSealed, strictly, or not at all.
func checkOpaque(e *element, lenient Leniency) error {
	switch {
	case e.is(assertionNS, "EncryptedAssertion"), e.is(assertionNS, "EncryptedID"):
		return nil
	case e.is(assertionNS, "Advice"):
		if lenient.Advice {
			return nil
		}
		return reject(ReasonSchema, "Advice")
	}
	return checkHidden(e, e.path())
}

func checkHidden(e *element, where string) error {
	for _, child := range e.elements() {
		switch child.ns {
		case protocolNS, assertionNS, signatureNS, soapNS:
			if !e.is(assertionNS, "AttributeValue") || !child.is(assertionNS, "NameID") {
				return reject(ReasonSchema, "SAML element hidden in %s", where)
			}
		}
		if err := checkHidden(child, where); err != nil {
			return err
		}
	}
	return nil
}

// encryptedValue returns the EncryptedID that is the whole content of an
// attribute value, or nil.
func (e *element) encryptedValue() *element {
	if children := e.elements(); len(children) == 1 && e.is(assertionNS, "AttributeValue") &&
		children[0].is(assertionNS, "EncryptedID") && !hasText(e) {
		return children[0]
	}
	return nil
}

func (e *element) parentPath() string {
	if e.parent == nil {
		return "document"
	}
	return e.parent.path()
}
