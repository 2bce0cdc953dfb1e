package levels_test

import (
	"fmt"

	"github.com/eidbridge/eidbridge/levels"
)

// A DigiD login with an app, at a deployment that believes DigiD up to low only.
func ExampleMapping_Assess() {
	a, err := levels.Default().Assess("digid", "urn:oasis:names:tc:SAML:2.0:ac:classes:Smartcard",
		levels.Ceiling{Source: "upstream:digid", Max: levels.Low})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(a.Level, "by rule", a.Rule, "which says", a.Asserted)
	fmt.Println(a.Level.URI())
	// Output:
	// low by rule digid.substantieel which says substantial
	// http://eidas.europa.eu/LoA/low
}
