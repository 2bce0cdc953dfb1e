// Package facturae signs Spanish electronic invoices of the formats FacturaE 3.2,
// 3.2.1 and 3.2.2: enveloped XAdES under the signature policy 3.1 of the format,
// on machinery of package xades.
//
// An invoice is checked against its schema before it is signed. The schemas as
// published carry no licence that lets us ship them, so package facturae has
// grammars of its own, one a version, in folder grammar: the names, their order
// and number, and the facets of the values, as facts. internal/xsdgrammar makes
// them from the published schemas. Check reads an invoice as a stream of tokens,
// follows the content models as automata, and checks every value.
//
// Left out: arithmetic (whether totals are the sum of lines), which the schema
// does not know either, and the content of Extensions, which belongs to others.
package facturae

//go:generate go run ./internal/xsdgrammar Facturaev3_2_2.xsd
