package policy

import (
	"errors"
	"net/netip"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/eidbridge/eidbridge/levels"
)

// Facts are what conditions speak of, each under the name in the comment. Nothing
// in it names a person; claims are told by presence alone.
type Facts struct {
	// Client is client: the ID of the portal.
	Client string
	// Scopes and Wanted are scopes and wanted: the scopes of the request and the
	// claims that it names one by one.
	Scopes, Wanted []string
	// Requested is requested: the least level that the request and the client ask
	// for. The words none, basic, low, substantial and high stand for levels.
	Requested levels.Level
	// Device is device: the login is for a device without a browser.
	Device bool
	// Address is address: where the browser is, as an IP address, or with IPv6 as the
	// network /56 that one household has. While it is not known, as when a portal
	// pushes a request, rules that speak of it wait.
	Address string
	// Now is now. now.getHours("Europe/Madrid") and the like read it; Sunday is 0 of
	// now.getDayOfWeek("Europe/Madrid").
	Now time.Time
	// Upstream and Method are upstream and method: of each offer in turn before the
	// choice, of the login after it.
	Upstream, Method string
	// Reached is level, the level that the login reached.
	Reached levels.Level
	// Claims is claims: the names of what the login delivered.
	Claims []string
	// Country is country: the country that issued the identity.
	Country string
	// Represents is represents: the person acts for somebody else.
	Represents bool
	// Reused is reused: the login is an earlier one of the same browser.
	Reused bool
	// Attempts is attempts: how often this login was begun at an upstream.
	Attempts int
}

// Risk is risk: codes for what makes a login less ordinary.
func (f *Facts) risk() []string {
	list := []string{}
	for _, sign := range []struct {
		code string
		here bool
	}{
		{"device", f.Device},
		{"attempts", f.Attempts >= 3},
		{"representation", f.Represents},
		{"no_address", f.Address == ""},
	} {
		if sign.here {
			list = append(list, sign.code)
		}
	}
	return list
}

// Point is a point of a login at which rules are evaluated.
type point int

const (
	// asked is before the choice; only the request is known.
	asked point = iota
	// offered is before the choice, for one method.
	offered
	// reached is after the login.
	reached
)

// knownAt is the point at which a variable becomes known.
func knownAt(name string) point {
	switch name {
	case "upstream", "method":
		return offered
	case "level", "claims", "country", "represents", "reused", "attempts", "risk":
		return reached
	}
	return asked
}

// when is the point at which a rule can first be evaluated.
func (c *compiled) when() point {
	at := asked
	for name := range c.uses {
		at = max(at, knownAt(name))
	}
	return at
}

func (f *Facts) values() map[string]any {
	return map[string]any{
		"client": f.Client, "scopes": f.Scopes, "wanted": f.Wanted, "requested": int(f.Requested), "device": f.Device,
		"address": f.Address, "now": f.Now, "upstream": f.Upstream, "method": f.Method, "level": int(f.Reached),
		"claims": f.Claims, "country": f.Country, "represents": f.Represents, "reused": f.Reused, "attempts": f.Attempts,
		"risk": f.risk(),
	}
}

// vocabulary is what conditions may say: CEL's standard functions, the variables
// of Facts, the levels by name, and within(address, "10.0.0.0/8").
func vocabulary() (*cel.Env, error) {
	strings := cel.ListType(cel.StringType)
	options := []cel.EnvOption{
		cel.ParserRecursionLimit(maxNesting), cel.ParserExpressionSizeLimit(maxCondition),
		cel.Variable("client", cel.StringType), cel.Variable("scopes", strings), cel.Variable("wanted", strings),
		cel.Variable("requested", cel.IntType), cel.Variable("device", cel.BoolType), cel.Variable("address", cel.StringType),
		cel.Variable("now", cel.TimestampType), cel.Variable("upstream", cel.StringType), cel.Variable("method", cel.StringType),
		cel.Variable("level", cel.IntType), cel.Variable("claims", strings), cel.Variable("country", cel.StringType),
		cel.Variable("represents", cel.BoolType), cel.Variable("reused", cel.BoolType), cel.Variable("attempts", cel.IntType),
		cel.Variable("risk", strings),
		cel.Function("within", cel.Overload("within_string_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(within))),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateDurationLiterals(), cel.ValidateComprehensionNestingLimit(2)),
	}
	for _, l := range levels.Scale() {
		options = append(options, cel.Constant(l.String(), cel.IntType, types.Int(l)))
	}
	return cel.NewEnv(options...)
}

// within reports whether an address is in a network. An address in a network of
// the other family is not.
func within(address, network ref.Val) ref.Val {
	a, aOK := address.Value().(string)
	n, nOK := network.Value().(string)
	if !aOK || !nOK {
		return types.NewErr("within takes two strings")
	}
	prefix, err := parseNetwork(n)
	if err != nil {
		return types.NewErr("within: %v", err)
	}
	if household, err := netip.ParsePrefix(a); err == nil {
		return types.Bool(prefix.Contains(household.Addr()))
	}
	ip, err := netip.ParseAddr(a)
	if err != nil {
		return types.NewErr("within: the first is no address")
	}
	return types.Bool(prefix.Contains(ip.Unmap()))
}

// household is the length in bits to which addresses of IPv6 are known.
const household = 56

func parseNetwork(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil || prefix.Masked() != prefix {
		return prefix, errors.New("this is no network such as 10.0.0.0/8 or 2001:db8::/32")
	}
	if prefix.Addr().Is6() && prefix.Bits() > household {
		return prefix, errors.New("addresses of IPv6 are known to /56 only; write a shorter network")
	}
	return prefix, nil
}

// checkNetworks refuses networks that are written wrongly.
func checkNetworks(r *Rule, checked *cel.Ast) error {
	native := checked.NativeRep()
	for _, call := range ast.MatchDescendants(ast.NavigateAST(native), ast.FunctionMatcher("within")) {
		args := call.AsCall().Args()
		if len(args) != 2 || args[1].Kind() != ast.LiteralKind {
			continue
		}
		text, ok := args[1].AsLiteral().Value().(string)
		if !ok {
			continue
		}
		if _, err := parseNetwork(text); err != nil {
			place := native.SourceInfo().GetStartLocation(args[1].ID())
			return r.at(place.Line(), place.Column(), err.Error())
		}
	}
	return nil
}

// variables are those that a condition speaks of.
func variables(checked *cel.Ast) map[string]bool {
	uses := map[string]bool{}
	for _, r := range checked.NativeRep().ReferenceMap() {
		if r.Name != "" {
			uses[r.Name] = true
		}
	}
	return uses
}
