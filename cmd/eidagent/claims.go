package main

import (
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/eidbridge/eidbridge/signing"
	"github.com/eidbridge/eidbridge/signing/facturae"
	"github.com/eidbridge/eidbridge/signing/xades"
)

// claiming are the options that say what the signer claims, in every format. A PDF has
// --reason beside them.
type claiming struct {
	Policy       string   `placeholder:"POLICY" help:"Signature policy: age, facturae, or its identifier, an OID or a URI."`
	PolicyDigest string   `placeholder:"DIGEST" help:"Digest of the policy's document: sha256: and hex digits or base64 (sha384, sha512 and sha1 too)."`
	PolicyURL    string   `name:"policy-url" placeholder:"URL" help:"Where the policy's document can be read."`
	Commitment   []string `sep:"none" placeholder:"TYPE" help:"What the signature means: origin, receipt, delivery, sender, approval, creation, or an OID or URI (may be repeated in XML; in a PDF in place of --reason)."`
	Role         []string `sep:"none" placeholder:"ROLE" help:"A role you claim (may be repeated); of an invoice emisor, receptor or tercero."`
	Street       string   `placeholder:"TEXT" help:"Where you sign, beside --location and not in a PDF: street and number."`
	PostalCode   string   `placeholder:"TEXT" help:"Postal code."`
	Region       string   `placeholder:"TEXT" help:"State, province or county."`
	Country      string   `placeholder:"TEXT" help:"Country."`
}

// claims reads the options.
func (c *claiming) claims() (signing.Claims, error) {
	claims := signing.Claims{Roles: c.Role, Place: signing.Place{Street: c.Street, PostalCode: c.PostalCode, Region: c.Region, Country: c.Country}}
	var err error
	if claims.Policy, err = c.policy(); err != nil {
		return claims, err
	}
	for _, word := range c.Commitment {
		commitment, err := commitmentOf(word)
		if err != nil {
			return claims, err
		}
		claims.Commitments = append(claims.Commitments, commitment)
	}
	return claims, nil
}

// oidForm is an OID in dotted decimal form, uriForm something with a scheme.
var (
	oidForm = regexp.MustCompile(`^[0-2](\.(0|[1-9][0-9]*))+$`)
	uriForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$`)
)

// identifier tells whether a word is an OID, dotted or as a URN, or a URI.
func identifier(word string) (oid, uri string, ok bool) {
	oid = strings.TrimPrefix(word, "urn:oid:")
	switch {
	case oidForm.MatchString(oid):
		return oid, "", true
	case uriForm.MatchString(word):
		return "", word, true
	}
	return "", "", false
}

func (c *claiming) policy() (*signing.Policy, error) {
	if c.Policy == "" {
		if c.PolicyDigest+c.PolicyURL != "" {
			return nil, &problem{exit: exitUsage, message: "a policy is described that is not named", hints: []string{"Name it with --policy."}}
		}
		return nil, nil
	}
	switch strings.ToLower(c.Policy) {
	case "age":
		return c.published(xades.AGEPolicy())
	case "facturae":
		return c.published(xades.FacturaEPolicy())
	}
	p := &signing.Policy{Document: c.PolicyURL}
	var ok bool
	if p.OID, p.URI, ok = identifier(c.Policy); !ok {
		return nil, &problem{exit: exitUsage, message: fmt.Sprintf("--policy %q names no policy", c.Policy), hints: []string{
			"Known by name: age, facturae. Others by OID (1.2.3.4) or URI.",
		}}
	}
	if c.PolicyDigest == "" {
		return nil, &problem{exit: exitUsage, message: "a policy is named by identifier and digest of its document", hints: []string{
			"Add --policy-digest sha256:$(sha256sum FILE | cut -d' ' -f1)",
		}}
	}
	var err error
	p.DigestAlgorithm, p.Digest, err = digestOption(c.PolicyDigest)
	return p, err
}

// published is a policy whose document is known.
func (c *claiming) published(p *signing.Policy) (*signing.Policy, error) {
	if c.PolicyDigest != "" {
		return nil, &problem{exit: exitUsage, message: "the digest of the policy " + c.Policy + " is known", hints: []string{"Leave out --policy-digest."}}
	}
	if c.PolicyURL != "" {
		p.Document = c.PolicyURL
	}
	return p, nil
}

// digestOption reads a digest with the name of its algorithm.
func digestOption(text string) (algorithm string, digest []byte, err error) {
	name, value, _ := strings.Cut(text, ":")
	hash := map[string]crypto.Hash{"sha1": crypto.SHA1, "sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}[strings.ToLower(strings.ReplaceAll(name, "-", ""))]
	if hash != 0 {
		for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
			if digest, err := decode(value); err == nil && len(digest) == hash.Size() {
				return hash.String(), digest, nil
			}
		}
	}
	return "", nil, &problem{exit: exitUsage, message: fmt.Sprintf("--policy-digest %q is no digest", text), hints: []string{
		"It is the algorithm and the digest in hex or base64, such as sha256:" + strings.Repeat("0", 8) + "…",
	}}
}

func commitmentOf(word string) (signing.Commitment, error) {
	types := []struct {
		word string
		is   signing.Commitment
	}{
		{"origin", signing.ProofOfOrigin},
		{"receipt", signing.ProofOfReceipt},
		{"delivery", signing.ProofOfDelivery},
		{"sender", signing.ProofOfSender},
		{"approval", signing.ProofOfApproval},
		{"creation", signing.ProofOfCreation},
	}
	for _, t := range types {
		if strings.EqualFold(word, t.word) || strings.EqualFold(word, string(t.is)) {
			return t.is, nil
		}
	}
	oid, uri, ok := identifier(word)
	if !ok {
		return "", &problem{exit: exitUsage, message: fmt.Sprintf("--commitment %q is no type of commitment", word), hints: []string{
			"Types: origin, receipt, delivery, sender, approval, creation; others by OID or URI.",
		}}
	}
	return signing.ParseCommitment(oid + uri), nil
}

// check refuses claims that a format has no place for. reason is that of --reason;
// inCAdES tells of a CAdES signature in a container.
func (c *claiming) check(claims signing.Claims, format signing.Format, inCAdES bool, reason string) error {
	place := claims.Place != signing.Place{}
	switch {
	case format == signing.PAdES && place, format == signing.FacturaE && place:
		return meaningless("--street, --postal-code, --region or --country", format, "A PDF signature has --location; the policy of invoices has no place for it.")
	case format == signing.FacturaE && claims.Policy != nil && claims.Policy.URI != xades.FacturaEPolicy().URI:
		return meaningless("--policy "+c.Policy, format, "Invoices have the policy of FacturaE. For another, choose --format xades.")
	case format == signing.FacturaE && len(claims.Commitments) > 0:
		return meaningless("--commitment", format, "The policy of invoices has no place for it.")
	case format == signing.FacturaE:
		return checkInvoiceRole(claims.Roles)
	case claims.Policy != nil && strings.EqualFold(c.Policy, "facturae"):
		return meaningless("--policy facturae", format, "The policy is for FacturaE invoices, which have it without this option.")
	case format == signing.PAdES:
		return checkPDF(claims, reason)
	case inCAdES:
		return checkCMS(claims, signing.CAdES, "choose --format xades")
	}
	return nil
}

// meaningless is about an option that a format has no place for.
func meaningless(option string, format signing.Format, hint string) error {
	return &problem{exit: exitUsage, message: option + " has no meaning for " + format.Title(), hints: []string{hint}}
}

// checkCMS refuses what signed attributes of CMS cannot say. other is the way out.
func checkCMS(claims signing.Claims, format signing.Format, other string) error {
	switch {
	case claims.Policy != nil && claims.Policy.OID == "":
		return &problem{exit: exitUsage, message: "a " + format.Title() + " signature names its policy by OID", hints: []string{"Name the OID with --policy, or " + other + "."}}
	case len(claims.Commitments) > 1:
		return &problem{exit: exitUsage, message: "a " + format.Title() + " signature has one type of commitment", hints: []string{"Name one with --commitment, or " + other + "."}}
	}
	return nil
}

// checkPDF adds that a reason excludes the other two ways to say why (EN 319 142-1 6.3).
func checkPDF(claims signing.Claims, reason string) error {
	switch {
	case reason != "" && len(claims.Commitments) > 0:
		return &problem{exit: exitUsage, message: "--reason and --commitment exclude each other", hints: []string{
			"Both say why a PDF is signed: --reason for people, --commitment for programs. Leave one out.",
		}}
	case reason != "" && claims.Policy != nil:
		return &problem{exit: exitUsage, message: "--reason and --policy exclude each other", hints: []string{
			"A PDF signature under a policy says why it was made with --commitment. Leave --reason out.",
		}}
	}
	return checkCMS(claims, signing.PAdES, "sign the PDF in a container with --format asic-e")
}

func checkInvoiceRole(roles []string) error {
	known := map[string]bool{string(facturae.Issuer): true, string(facturae.Receiver): true, string(facturae.ThirdParty): true}
	if len(roles) > 1 || len(roles) == 1 && !known[roles[0]] {
		return &problem{exit: exitUsage, message: "an invoice is signed in one of three roles", hints: []string{"Choose --role emisor, receptor or tercero."}}
	}
	return nil
}
