package xades

import (
	"encoding/base64"

	"github.com/eidbridge/eidbridge/signing"
)

// FacturaEPolicy is version 3.1 of the signature policy of FacturaE. Its document
// is named by a SHA-1 digest, which is part of the policy and signs nothing.
func FacturaEPolicy() *signing.Policy {
	return &signing.Policy{
		URI:             "http://www.facturae.es/politica_de_firma_formato_facturae/politica_de_firma_formato_facturae_v3_1.pdf",
		DigestAlgorithm: "SHA-1",
		Digest:          fixed("Ohixl6upD6av8N7pEvDABhEL6hM="),
	}
}

// AGEPolicy is version 1.9 of the signature policy of the Spanish general state
// administration (AGE); its identifier is an OID, so that CAdES can name it too.
func AGEPolicy() *signing.Policy {
	return &signing.Policy{
		OID:             "2.16.724.1.3.1.1.2.1.9",
		DigestAlgorithm: "SHA-1",
		Digest:          fixed("G7roucf600+f03r/o0bAOQ6WAs0="),
		Document:        "https://sede.administracion.gob.es/politica_de_firma_anexo_1.pdf",
	}
}

// fixed decodes a value of this file.
func fixed(text string) []byte {
	raw, _ := base64.StdEncoding.DecodeString(text)
	return raw
}

// publishedPolicies are the digests of policy documents that are known, by
// identifier; FacturaE 3.0 and AGE 1.8 are read and no longer written.
func publishedPolicies() map[string][]byte {
	return map[string][]byte{
		FacturaEPolicy().URI:             FacturaEPolicy().Digest,
		"urn:oid:" + AGEPolicy().OID:     AGEPolicy().Digest,
		"urn:oid:2.16.724.1.3.1.1.2.1.8": fixed("V8lVVNGDCPen6VELRD1Ja8HARFk="),
		"http://www.facturae.es/politica de firma formato facturae/politica de firma formato facturae v3_0.pdf": fixed("xmfh8D/Ec/hHeE1IB4zPd61zHIY="),
	}
}
