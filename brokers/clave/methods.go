package clave

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/eidbridge/eidbridge/brokers"
	"github.com/eidbridge/eidbridge/levels"
)

// scheme is the name of Cl@ve in the mapping.
const scheme = "clave"

// IdP is an identity provider behind the gateway. Its text is the end of the
// attribute name that, put into a request, switches it off.
type IdP string

// The identity providers (integration kit, "RequestedAttributes").
const (
	IdPCertificate IdP = "AFirmaIdP"   // DNIe and certificates
	IdPPermanente  IdP = "GISSIdP"     // Social Security
	IdPPIN         IdP = "AEATIdP"     // Tax Agency, retired
	IdPMovil       IdP = "CLVMOVILIdP" // Cl@ve Móvil
	IdPEIDAS       IdP = "EIDASIdP"    // other EU countries
)

func idps() []IdP {
	return []IdP{IdPCertificate, IdPPermanente, IdPPIN, IdPMovil, IdPEIDAS}
}

func (i IdP) known() bool { return slices.Contains(idps(), i) }

// publishedSelections are the values of SelectedIdP that are published, and
// those of the laboratory's gateway for the two that are not.
func publishedSelections() map[string]IdP {
	return map[string]IdP{
		"AFIRMA": IdPCertificate, "SEGSOC": IdPPermanente, "PIN24H": IdPPIN,
		"CLVMOVIL": IdPMovil, "EIDAS": IdPEIDAS,
	}
}

//go:embed methods.json
var methodNames []byte

// method is one way to log in.
type method struct {
	brokers.Method
	idp IdP // "" lets the citizen choose at the gateway
	// least is what has to be asked for, so that the gateway does not stop at a
	// weaker way of the same identity provider.
	least levels.Level
	// amr is what is certain once this method is known to have been used.
	amr []string
}

// selector is the method that leaves the choice to the gateway.
const selector = "clave"

// retired is not offered unless it is configured.
const retired = "clave-pin"

// allMethods lists the methods with the levels that they can reach (8.3 of the
// reference: what the public tables of the scheme say).
func allMethods() []method {
	of := func(id string, idp IdP, least, most levels.Level, amr ...string) method {
		return method{Method: brokers.Method{ID: id, Level: most}, idp: idp, least: least, amr: amr}
	}
	return []method{
		of("clave-permanente", IdPPermanente, levels.Low, levels.Low, "pwd"),
		of("clave-pin", IdPPIN, levels.Low, levels.Substantial),
		of("clave-movil", IdPMovil, levels.Low, levels.Substantial, "swk", "user", "mfa"),
		of("clave-permanente-sms", IdPPermanente, levels.Substantial, levels.Substantial, "pwd", "sms", "otp", "mfa"),
		of("clave-certificado", IdPCertificate, levels.Low, levels.Substantial, "swk"),
		of("clave-dnie", IdPCertificate, levels.High, levels.High, "sc", "hwk", "pin", "mfa"),
		of("clave-eidas", IdPEIDAS, levels.Low, levels.High),
	}
}

// methodsOf lists what is offered. A ceiling lowers what a method can reach and
// takes those away that ask for more.
func methodsOf(c *Config) ([]method, error) {
	var names map[string]map[string]string
	if err := json.Unmarshal(methodNames, &names); err != nil {
		return nil, fmt.Errorf("names of methods: %w", err)
	}
	candidates := allMethods()
	if c.Selector {
		candidates = []method{{Method: brokers.Method{ID: selector, Level: levels.High}, least: levels.Low}}
	}
	for _, id := range c.Methods {
		if c.Selector || !slices.ContainsFunc(candidates, func(m method) bool { return m.ID == id }) {
			return nil, fmt.Errorf("there is no method %q to offer", id)
		}
	}
	var offered []method
	for _, m := range candidates {
		wanted := slices.Contains(c.Methods, m.ID) || len(c.Methods) == 0 && m.ID != retired
		if !wanted || slices.Contains(c.DisabledIdPs, m.idp) {
			continue
		}
		if c.MaxLevel != levels.None {
			if m.least > c.MaxLevel {
				continue
			}
			m.Level = min(m.Level, c.MaxLevel)
		}
		m.Name = names[m.ID]
		offered = append(offered, m)
	}
	if len(offered) == 0 {
		return nil, fmt.Errorf("no method is left to offer")
	}
	return offered, nil
}

// used is the method that an answer speaks of: by the identity provider that it
// names and the level that it reached. An identity provider that has no method
// among the offered ones is refused.
func (u *Upstream) used(asked method, selected string, reached levels.Level) (method, bool) {
	if asked.idp == "" {
		if idp, listed := u.selections[selected]; listed && slices.Contains(u.disabled, idp) {
			return method{}, false
		}
		return asked, true
	}
	idp, listed := u.selections[selected]
	if !listed {
		// All others were switched off; what the gateway calls this one is not
		// published for all. How the citizen logged in is not certain.
		asked.amr = nil
		return asked, true
	}
	if idp != asked.idp {
		return method{}, false
	}
	best := asked
	for _, m := range u.methods {
		if m.idp == idp && m.least <= reached && m.Level > best.Level {
			best = m
		}
	}
	if reached > best.Level {
		// Stronger than this method can be: it was another one that is not offered.
		best.amr = nil
	}
	return best, true
}
