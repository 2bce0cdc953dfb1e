package saml

import (
	"context"
	"encoding/xml"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// Assertion is what an identity provider said about a person, read from bytes
// that its signature covers.
type Assertion struct {
	ID           string
	Issuer       string
	IssueInstant time.Time
	NameID       NameID
	// Expires is when the confirmation and the conditions end, whichever is
	// first, without skew.
	Expires time.Time
	// AuthnInstant is when the citizen authenticated.
	AuthnInstant time.Time
	// SessionNotOnOrAfter ends the session at the identity provider; zero if not
	// given.
	SessionNotOnOrAfter time.Time
	SessionIndex        string
	// ContextClass is the AuthnContextClassRef.
	ContextClass string
	// Authorities are the AuthenticatingAuthority elements, nearest last.
	Authorities []string
	// SubjectAddress is the network address that the identity provider saw. It is
	// personal data.
	SubjectAddress string
	Attributes     []Attribute
	// OneTimeUse is a condition that forbids keeping the assertion.
	OneTimeUse bool
	// Signed says which parts of the answer had a valid signature of their own.
	Signed Coverage

	skew time.Duration
}

// NameID is the identifier of the subject.
type NameID struct {
	Value, Format, NameQualifier, SPNameQualifier string
}

// Attribute is one statement about the subject.
type Attribute struct {
	Name, NameFormat, FriendlyName string
	// Values are the texts; of a value that is an encrypted identifier, the text
	// of the identifier.
	Values []string
	// NameIDs are the values that came as encrypted identifiers, in order.
	NameIDs []NameID
	// Marks are the XML attributes of each value, of the namespaces that
	// Expectation.Vocabularies lists. It is nil if no value has one.
	Marks []map[xml.Name]string
}

// read takes the values of an Attribute element.
func (a *Attribute) read(e *element, j *judgement) error {
	values := e.all(assertionNS, "AttributeValue")
	for i, v := range values {
		if hidden := v.encryptedValue(); hidden != nil {
			id, err := j.encryptedID(hidden)
			if err != nil {
				return err
			}
			a.NameIDs = append(a.NameIDs, id)
			a.Values = append(a.Values, id.Value)
			continue
		}
		text, plain := v.text()
		if name := v.child(assertionNS, "NameID"); !plain && name != nil {
			text, _ = name.text() // a name as value, such as eduPersonTargetedID
		}
		a.Values = append(a.Values, text)
		for _, mark := range v.attributes {
			if !slices.Contains(j.Vocabularies, mark.ns) {
				continue
			}
			if a.Marks == nil {
				a.Marks = make([]map[xml.Name]string, len(values))
			}
			if a.Marks[i] == nil {
				a.Marks[i] = map[xml.Name]string{}
			}
			a.Marks[i][xml.Name{Space: mark.ns, Local: mark.local}] = mark.value
		}
	}
	return nil
}

// Use records that the assertion is being used, and refuses the second time.
func (a *Assertion) Use(ctx context.Context, store ReplayStore) error {
	err := store.UseAssertionID(ctx, a.Issuer, a.ID, a.Expires.Add(2*a.skew))
	if errors.Is(err, brokers.ErrReplayed) {
		return reject(ReasonReplay, "%w", err)
	}
	return err
}

// assertion reads a verified assertion in the order of the checks.
func (j *judgement) assertion(e *element) (*Assertion, error) {
	if err := j.messageCommon(e); err != nil {
		return nil, err
	}
	a := &Assertion{ID: e.value("ID"), Signed: j.signed, skew: j.Skew}
	a.Issuer, _ = e.child(assertionNS, "Issuer").text()
	a.IssueInstant, _ = e.instant("IssueInstant", ReasonIssueInstant, j.Lenient)
	for _, step := range []func(*element, *Assertion) error{
		j.subject, j.conditions, j.authnStatement, j.attributes,
	} {
		if err := step(e, a); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (j *judgement) subject(e *element, a *Assertion) error {
	subject := e.child(assertionNS, "Subject")
	id, hidden := subject.child(assertionNS, "NameID"), subject.child(assertionNS, "EncryptedID")
	var err error
	switch {
	case id == nil && hidden == nil:
		return reject(ReasonSubject, "no NameID")
	case id != nil && hidden != nil:
		return reject(ReasonSubject, "NameID and EncryptedID")
	case id != nil:
		a.NameID = readNameID(id)
	default:
		if a.NameID, err = j.encryptedID(hidden); err != nil {
			return err
		}
	}
	if isBlank(a.NameID.Value) {
		return reject(ReasonSubject, "empty NameID")
	}
	if len(j.NameIDFormats) > 0 && !slices.Contains(j.NameIDFormats, a.NameID.Format) {
		return reject(ReasonSubject, "NameID of another format")
	}
	if a.NameID.SPNameQualifier != "" && a.NameID.SPNameQualifier != j.Audience &&
		!slices.Contains(j.OtherAudiences, a.NameID.SPNameQualifier) && !j.Lenient.AnyAudience {
		return reject(ReasonSubject, "NameID for another service provider")
	}
	// One confirmation, so that no second one can be the weaker (threat X-82).
	confirmations := subject.all(assertionNS, "SubjectConfirmation")
	if len(confirmations) == 0 || len(confirmations) > 1 && !j.Lenient.Profile {
		return reject(ReasonConfirmation, "%d subject confirmations", len(confirmations))
	}
	for _, confirmation := range confirmations {
		if err = j.confirmation(confirmation, a); err == nil {
			break
		}
	}
	return err
}

func readNameID(e *element) NameID {
	id := NameID{
		Format: e.value("Format"), NameQualifier: e.value("NameQualifier"),
		SPNameQualifier: e.value("SPNameQualifier"),
	}
	id.Value, _ = e.text()
	return id
}

// encryptedID opens an EncryptedID of a verified assertion. Encryption inside
// encryption is refused (threat X-74).
func (j *judgement) encryptedID(e *element) (NameID, error) {
	if j.opened {
		return NameID{}, reject(ReasonEncryption, "encryption inside encryption")
	}
	inner, err := j.decrypted(e, e, true, "NameID")
	if err != nil {
		return NameID{}, err
	}
	return readNameID(inner), nil
}

// confirmation checks a bearer confirmation (SAML Profiles 4.1.4.2).
func (j *judgement) confirmation(e *element, a *Assertion) error {
	if e.value("Method") != methodBearer {
		return reject(ReasonConfirmation, "confirmation method is not bearer")
	}
	data := e.child(assertionNS, "SubjectConfirmationData")
	if data == nil {
		return reject(ReasonConfirmation, "no confirmation data")
	}
	if recipient, present := data.attribute("Recipient"); present && recipient == "" || !j.Lenient.AnyRecipient && recipient != j.Recipient {
		return reject(ReasonConfirmation, "confirmed for another recipient")
	}
	if request := data.value("InResponseTo"); !j.Lenient.AnyRequest && request != j.RequestID {
		return reject(ReasonInResponseTo, "confirmation answers another request")
	}
	from, err := data.instant("NotBefore", ReasonConfirmation, j.Lenient)
	switch _, present := data.attribute("NotBefore"); {
	case err != nil:
		return err
	case present && !j.Lenient.Profile:
		return reject(ReasonConfirmation, "bearer confirmation with NotBefore")
	case !j.Lenient.AnyTime && from.After(j.Now.Add(j.Skew)):
		return reject(ReasonNotYetValid, "confirmation begins later")
	}
	until, err := data.instant("NotOnOrAfter", ReasonConfirmation, j.Lenient)
	switch {
	case err != nil:
		return err
	case until.IsZero() && !j.Lenient.Profile:
		return reject(ReasonConfirmation, "confirmation without end")
	case !until.IsZero() && j.past(until):
		return reject(ReasonExpired, "confirmation has ended")
	case until.After(j.Now.Add(maxLifetime)) && !j.Lenient.AnyTime && !j.Lenient.Profile:
		return reject(ReasonConfirmation, "confirmation ends too far in the future")
	}
	a.Expires = until
	return nil
}

// past says whether a NotOnOrAfter has been reached, skew allowed.
func (j *judgement) past(until time.Time) bool {
	return !j.Lenient.AnyTime && !until.After(j.Now.Add(-j.Skew))
}

func (j *judgement) conditions(e *element, a *Assertion) error {
	conditions := e.child(assertionNS, "Conditions")
	if conditions == nil {
		return reject(ReasonConditions, "no conditions")
	}
	from, err := conditions.instant("NotBefore", ReasonConditions, j.Lenient)
	if err != nil {
		return err
	}
	until, err := conditions.instant("NotOnOrAfter", ReasonConditions, j.Lenient)
	if err != nil {
		return err
	}
	if !j.Lenient.AnyTime && from.After(j.Now.Add(j.Skew)) {
		return reject(ReasonNotYetValid, "conditions begin later")
	}
	if !until.IsZero() {
		if j.past(until) {
			return reject(ReasonExpired, "conditions have ended")
		}
		if a.Expires.IsZero() || until.Before(a.Expires) {
			a.Expires = until
		}
	}
	a.OneTimeUse = conditions.child(assertionNS, "OneTimeUse") != nil
	return j.audience(conditions)
}

// audience asks every restriction to name us (SAML Core 2.5.1.4).
func (j *judgement) audience(conditions *element) error {
	if j.Lenient.AnyAudience {
		return nil
	}
	restrictions := conditions.all(assertionNS, "AudienceRestriction")
	if len(restrictions) == 0 {
		return reject(ReasonAudience, "no audience restriction")
	}
	for _, restriction := range restrictions {
		if !slices.ContainsFunc(restriction.all(assertionNS, "Audience"), func(audience *element) bool {
			name, _ := audience.text()
			if j.Lenient.Profile {
				name = strings.TrimSpace(name) // as the type anyURI has it
			}
			return name == j.Audience || slices.Contains(j.OtherAudiences, name)
		}) {
			return reject(ReasonAudience, "meant for another audience")
		}
	}
	return nil
}

func (j *judgement) authnStatement(e *element, a *Assertion) error {
	statements := e.all(assertionNS, "AuthnStatement")
	if len(statements) != 1 {
		return reject(ReasonAuthnStatement, "%d authentication statements", len(statements))
	}
	statement := statements[0]
	var err error
	if a.AuthnInstant, err = statement.instant("AuthnInstant", ReasonAuthnInstant, j.Lenient); err != nil {
		return err
	}
	if a.SessionNotOnOrAfter, err = statement.instant("SessionNotOnOrAfter", ReasonAuthnStatement, j.Lenient); err != nil {
		return err
	}
	switch {
	case a.AuthnInstant.IsZero():
		return reject(ReasonAuthnInstant, "no time of authentication")
	case j.Lenient.AnyTime:
	case a.AuthnInstant.After(j.Now.Add(j.Skew)):
		return reject(ReasonAuthnInstant, "authenticated in the future")
	case j.ForceAuthn && a.AuthnInstant.Before(j.RequestedAt.Add(-j.Skew)):
		return reject(ReasonAuthnInstant, "authenticated before the request")
	case !a.SessionNotOnOrAfter.IsZero() && j.past(a.SessionNotOnOrAfter):
		return reject(ReasonExpired, "session has ended")
	}
	a.SessionIndex = statement.value("SessionIndex")
	if locality := statement.child(assertionNS, "SubjectLocality"); locality != nil {
		a.SubjectAddress = locality.value("Address")
	}
	return j.context(statement.child(assertionNS, "AuthnContext"), a)
}

func (j *judgement) context(e *element, a *Assertion) error {
	class := e.child(assertionNS, "AuthnContextClassRef")
	if class != nil {
		a.ContextClass, _ = class.text()
	}
	declared := e.child(assertionNS, "AuthnContextDeclRef") != nil || e.child(assertionNS, "AuthnContextDecl") != nil
	if a.ContextClass == "" && (!j.Lenient.Profile || !declared) {
		return reject(ReasonContextClass, "no context class")
	}
	for _, authority := range e.all(assertionNS, "AuthenticatingAuthority") {
		name, _ := authority.text()
		a.Authorities = append(a.Authorities, name)
	}
	return nil
}

func (j *judgement) attributes(e *element, a *Assertion) error {
	for _, statement := range e.all(assertionNS, "AttributeStatement") {
		stated := statement.all(assertionNS, "Attribute")
		if len(stated) == 0 && !j.Lenient.Profile {
			return reject(ReasonAttributes, "attribute statement without attributes")
		}
		for _, s := range stated {
			attribute := Attribute{Name: s.value("Name"), NameFormat: s.value("NameFormat"), FriendlyName: s.value("FriendlyName")}
			if attribute.Name == "" {
				return reject(ReasonAttributes, "attribute without a name")
			}
			// One attribute twice with two values is for the reader to choose from
			// (threat X-85).
			if slices.ContainsFunc(a.Attributes, func(have Attribute) bool { return have.Name == attribute.Name }) {
				return reject(ReasonAttributes, "attribute stated twice")
			}
			if err := attribute.read(s, j); err != nil {
				return err
			}
			a.Attributes = append(a.Attributes, attribute)
		}
	}
	return nil
}
