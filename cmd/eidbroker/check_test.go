package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	brokenClient = `[[clients]]
id = "a"
secret_sha256 = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
min_level = "low"
redirect_uris = ["https://a.example/cb"]
`
	brokenService = `[[resource_servers]]
id = "api"
resources = ["https://api.example/"]
secret_sha256 = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
`
	brokenRule = `[[policy]]
name = "night"
when = 'now.getHours("Europe/Madrid") < 6'
deny = "closed"
`
)

// broken are configurations with one mistake each (S-36), and what is said of it.
func broken() map[string]struct{ text, want string } {
	in := func(text, old, fresh string) string {
		if !strings.Contains(text, old) {
			panic("no " + old)
		}
		return strings.Replace(text, old, fresh, 1)
	}
	return map[string]struct{ text, want string }{
		// The file.
		"unknown key":              {"issuer = \"https://a.example\"\nisuer = \"x\"\n", "c.toml:2: unknown setting isuer"},
		"unknown key in section":   {"[lifetimes]\nlogin = \"5m\"\ncoed = \"5s\"\n", "c.toml:3: unknown setting lifetimes.coed"},
		"unknown key of a client":  {brokenClient + "secret = \"hunter2\"\n", "c.toml:6: unknown setting clients.secret"},
		"unknown section":          {"\n[saml]\nx = 1\n", "c.toml:"},
		"not TOML":                 {"issuer: x\n", "c.toml:1:"},
		"string without end":       {"issuer = \"https://a.example\n", "c.toml:1:"},
		"key twice":                {"issuer = \"https://a.example\"\nissuer = \"https://b.example\"\n", "c.toml:2:"},
		"wrong type":               {"starts_per_minute = \"many\"\n", "c.toml:1:"},
		"wrong type in a list":     {in(brokenClient, `["https://a.example/cb"]`, "[1]"), "c.toml:5:"},
		"list for a value":         {"issuer = [\"https://a.example\"]\n", "c.toml:1:"},
		"a file that is too large": {strings.Repeat("#", maxConfig+1), "larger than"},
		"wrong duration":           {"\n[lifetimes]\nlogin = \"5 minutes\"\n", "c.toml:3:"},
		"negative duration":        {"[lifetimes]\nlogin = \"-5m\"\n", "c.toml:2:"},
		"wrong time":               {brokenKey("2027-13-01T00:00:00Z"), "c.toml:4:"},
		// The broker.
		"plain http issuer":            {"issuer = \"http://login.example\"\n", "c.toml:1: issuer \"http://login.example\" is not https"},
		"issuer with slash":            {"\nissuer = \"https://login.example/\"\n", "c.toml:2: issuer \"https://login.example/\" ends in a slash"},
		"issuer with query":            {"issuer = \"https://login.example?x\"\n", "c.toml:1: issuer"},
		"issuer with user":             {"issuer = \"https://me@login.example\"\n", "c.toml:1: issuer"},
		"issuer without host":          {"issuer = \"login.example\"\n", "c.toml:1: issuer"},
		"empty issuer":                 {"issuer = \"\"\n", "c.toml:1: issuer"},
		"listen without port":          {"\n\nlisten = \"127.0.0.1\"\n", "c.toml:3: listen"},
		"listen on a port that is not": {"listen = \"127.0.0.1:99999\"\n", "c.toml:1: listen"},
		"monitor without port":         {"monitor_listen = \"localhost\"\n", "c.toml:1: monitor_listen"},
		"admin for everybody":          {"admin_listen = \"0.0.0.0:8183\"\n", "c.toml:1: admin_listen"},
		"admin without tokens":         {"admin_listen = \"127.0.0.1:0\"\nadmin_tokens = \"no\"\n", "c.toml:2: admin_tokens"},
		"wrong log format":             {"# x\nlog_format = \"xml\"\n", "c.toml:2: log_format \"xml\""},
		"wrong proxy":                  {"trusted_proxies = [\"everywhere\"]\n", "c.toml:1:"},
		"certificates from anybody":    {"client_certificate_header = \"Client-Cert\"\n", "c.toml:1: client_certificate_header needs"},
		"client roots missing":         {"client_roots = \"no.pem\"\n", "c.toml:1: client_roots"},
		"client roots are no roots":    {"client_roots = \"c.toml\"\n", "c.toml:1: client_roots: c.toml has no certificate"},
		"tls without a certificate":    {"issuer = \"https://a.example\"\n[tls]\ncertificate = \"no.pem\"\n", "c.toml:3: tls: certificate: open "},
		"tls without a word of a key":  {"issuer = \"https://a.example\"\n[tls]\ncertificate = \"no.pem\"\n", "c.toml:2: tls: key: the section has a certificate and its key"},
		"tls without https":            {"issuer = \"http://localhost:1\"\n[tls]\ncertificate = \"no.pem\"\n", "c.toml:1: with the section tls the issuer is https"},
		"tls without a key":            {"issuer = \"https://a.example\"\n[tls]\ncertificate = \"c.toml\"\nkey = \"no.pem\"\n", "c.toml:4: tls: key: lstat "},
		"tls of no certificate":        {"issuer = \"https://a.example\"\n[tls]\ncertificate = \"c.toml\"\nkey = \"c.toml\"\n", "c.toml:3: certificate and key: tls: failed to find any PEM data"},
		"certificates from two sides":  {"issuer = \"https://a.example\"\nclient_certificate_header = \"Client-Cert\"\ntrusted_proxies = [\"127.0.0.1/32\"]\n[tls]\nclient_certificates = true\n", "c.toml:5: certificates of clients come from the handshake"},
		"an unknown key of tls":        {"[tls]\nprotocols = [\"h3\"]\n", "c.toml:2: unknown setting tls.protocols"},
		"no database":                  {"database = \"\"\n", "c.toml:1: database"},
		"database address":             {"database = \"postgres://a:secret@host:port/x\"\n", "c.toml:1: database: this is no address"},
		"connections":                  {"database_connections = -1\n", "c.toml:1: database_connections"},
		"requests":                     {"max_requests = -1\n", "c.toml:1: max_requests"},
		"starts":                       {"starts_per_minute = -1\n", "c.toml:1: starts_per_minute"},
		"long-lived code":              {"[lifetimes]\n\ncode = \"5m\"\n", "c.toml:3: a code lives 60 seconds"},
		"long-lived pushed request":    {"[lifetimes]\npushed_request = \"1h\"\n", "c.toml:2: a pushed request"},
		"high lasts longer than low":   {"[single_sign_on]\nhigh = \"9h\"\n", "c.toml:1: a login counts no longer"},
		"published key that is not":    {"\npublished_keys = [\"c.toml\"]\n", "c.toml:2: published key c.toml"},
		"key that is missing":          {brokenKey("2027-01-01T00:00:00Z"), "c.toml:1: key"},
		"later pairwise secret":        {"later_pairwise_secrets = [\"no\"]\n", "c.toml:1: later pairwise secret"},
		"no master key":                {"master_keys = []\n", "c.toml:1: master_keys"},
		"second master key":            {"master_keys = [\"master-key\", \"no\"]\n", "c.toml:1: master key"},
		// Clients.
		"wildcard redirect":      {in(brokenClient, "a.example", "*.example"), "c.toml:1: client \"a\": redirect URI"},
		"http redirect":          {in(brokenClient, "https://a", "http://a"), "c.toml:1: client \"a\": redirect URI"},
		"redirect with fragment": {in(brokenClient, "/cb", "/cb#x"), "c.toml:1: client \"a\": redirect URI"},
		"no redirect":            {in(brokenClient, "redirect_uris", "#"), "c.toml:1: client \"a\": a client has at least one redirect URI"},
		"hosts without a sector": {in(brokenClient, "\"]", "\", \"https://b.example/cb\"]"), "c.toml:1: client \"a\": redirect URIs on several hosts"},
		"no level":               {in(brokenClient, "min_level", "#min_level"), "c.toml:1: client \"a\": a client states the least level"},
		"unknown level":          {in(brokenClient, "low", "lowest"), "c.toml:4"},
		"secret in clear":        {in(brokenClient, "0102", "hunter"), "c.toml:1: client \"a\": secret_sha256 is not a SHA-256"},
		"weak secret's hash":     {in(brokenClient, "0102030405060708090a0b0c0d0e0f10", ""), "c.toml:1: client \"a\": secret_sha256 is not"},
		"no secret":              {in(brokenClient, "secret_sha256", "#secret_sha256"), "c.toml:1: client \"a\": a client has a secret"},
		"secret of a public one": {brokenClient + "auth = \"none\"\n", "c.toml:1: client \"a\": a client has a secret"},
		"unknown way to prove":   {brokenClient + "auth = \"password\"\n", "c.toml:1: client \"a\": unknown authentication method"},
		"no keys":                {in(brokenClient, "secret_sha256", "auth = \"private_key_jwt\" #"), "c.toml:1: client \"a\": authentication or request objects need"},
		"keys are no keys":       {brokenClient + "jwks = \"x\"\n", "c.toml:1: client \"a\": jwks"},
		"client twice":           {brokenClient + "\n" + brokenClient, "c.toml:7: client \"a\": it is registered twice"},
		"client without id":      {in(brokenClient, "id = \"a\"", ""), "c.toml:1: client \"\": an id has"},
		"unknown scope":          {brokenClient + "scopes = [\"everything\"]\n", "c.toml:1: client \"a\": unknown scope"},
		"unknown vocabulary":     {brokenClient + "acr_vocabulary = \"klingon\"\n", "c.toml:1: client \"a\": the least level cannot be said"},
		"unknown semantics":      {brokenClient + "acr_semantics = \"ceiling\"\n", "c.toml:1: client \"a\": unknown acr semantics"},
		"unknown profile":        {brokenClient + "profile = \"fapi3\"\n", "c.toml:1: client \"a\": unknown profile"},
		"profile and secret":     {brokenClient + "profile = \"fapi2\"\n", "c.toml:1: client \"a\": FAPI 2.0 wants"},
		"no key signs for it":    {brokenClient + "signing_algorithm = \"PS256\"\n", "c.toml:1: client \"a\": there is no key that signs by PS256"},
		"pairwise version":       {brokenClient + "pairwise_version = 2\n", "c.toml:1: client \"a\": there is no version 2"},
		"logout to nowhere":      {brokenClient + "back_channel_logout_uri = \"ftp://a.example\"\n", "c.toml:1: client \"a\": logout"},
		"registration token":     {"[registration]\ntoken_sha256 = [\"hunter2\"]\n", "c.toml:1: registration"},
		"site without origin":    {"[[sites]]\norigin = \"archive\"\nmin_level = \"low\"\n", "c.toml:1: site \"archive\""},
		// Services.
		"resource with fragment":   {brokenClient + "resources = [\"https://api.example/#x\"]\n", "c.toml:1: client \"a\": access tokens are for absolute URIs"},
		"service without resource": {in(brokenService, "resources", "#"), "c.toml:1: resource server \"api\": a resource server has at least one"},
		"service that is public":   {in(brokenService, "secret_sha256", "auth = \"none\" #"), "c.toml:1: resource server \"api\": a resource server proves"},
		"service without secret":   {in(brokenService, "secret_sha256", "#"), "c.toml:1: resource server \"api\": a client has a secret"},
		"service of a relative":    {in(brokenService, "https://api.example/", "api"), "c.toml:1: resource server \"api\": access tokens are for absolute URIs"},
		"service that is us":       {in(brokenService, "https://api.example/", "http://localhost:8181"), "c.toml:1: resource server \"api\": the issuer is a resource of ours"},
		"service with a client ID": {brokenClient + in(brokenService, "\"api\"", "\"a\""), "c.toml:6: resource server \"a\": it is registered twice"},
		"service twice":            {brokenService + brokenService, "c.toml:5: resource server \"api\": "},
		"resource of two services": {brokenService + in(brokenService, "\"api\"", "\"b\""), "c.toml:5: resource server \"b\": the resource https://api.example/ is that of \"api\""},
		"unknown key of a service": {brokenService + "min_level = \"low\"\n", "c.toml:5: unknown setting resource_servers.min_level"},
		"no key signs for service": {brokenService + "signing_algorithm = \"PS256\"\n", "c.toml:1: resource server \"api\": there is no key that signs by PS256"},
		// Upstreams.
		"digid without keys":      {"\n[digid]\nmetadata_file = \"m.xml\"\n", "c.toml:2: digid: signing key"},
		"digid metadata of two":   {"[digid]\nmetadata_file = \"m.xml\"\nmetadata_url = \"https://x.example\"\n", "c.toml:1: digid: give"},
		"oidc of no kind":         {"[[oidc]]\nkind = \"magic\"\n", "c.toml:1:"},
		"card without roots":      {"[card]\nroots = \"no.pem\"\n", "c.toml:1:"},
		"outage of nothing":       {"[[outages]]\nmethod = \"x\"\n", "c.toml:1: an outage names no upstream"},
		"equivalence of nothing":  {"\n[[equivalences]]\nforeign = \"\"\nscheme = \"es-nif\"\n", "c.toml:2:"},
		"two mistakes, two lines": {"log_format = \"xml\"\n\nlisten = \"x\"\n", "c.toml:3: listen"},
		// Rules, with line and column.
		"rule without condition":   {in(brokenRule, "when = 'now.getHours(\"Europe/Madrid\") < 6'", "step_up = true"), "c.toml:1:3: policy rule \"night\": the condition is missing"},
		"rule with a slip":         {in(brokenRule, "< 6", "< 6 && klient == \"a\""), "c.toml:3:46: policy rule \"night\": undeclared reference to 'klient'"},
		"rule on several lines":    {in(brokenRule, "'now.getHours(\"Europe/Madrid\") < 6'", "'''\nlevel < high &&\n  level == \"x\"'''"), "c.toml:5:9: policy rule \"night\""},
		"rule without end":         {in(brokenRule, "deny", "#deny"), "c.toml:3:9: policy rule \"night\": nothing follows"},
		"rule that says no bool":   {in(brokenRule, " < 6", ""), "c.toml:3:9: policy rule \"night\": the condition gives int"},
		"two rules of one name":    {brokenRule + brokenRule, "c.toml:7:9: policy rule \"night\": there are two"},
		"rule with wrong network":  {in(brokenRule, "now.getHours(\"Europe/Madrid\") < 6", "within(address, \"10.0.0.0/33\")"), "c.toml:3:25: policy rule \"night\": this is no network"},
		"rule for unknown methods": {brokenRule + "methods = [\"digit\"]\n", "c.toml:5: policy rule \"night\": no upstream offers the method \"digit\""},
		"rule with unknown level":  {brokenRule + "min_level = \"highest\"\n", "c.toml:5"},
	}
}

func brokenKey(use string) string {
	return "[[keys]]\nfile = \"no.pem\"\nalgorithm = \"ES256\"\nuse = " + use + "\n"
}

// S-36: what is wrong is refused with its line, by serve before anything is served
// and by check-config with the same words.
func TestWrongConfigurationsAreRefused(t *testing.T) {
	list := broken()
	if len(list) < 60 {
		t.Errorf("only %d configurations", len(list))
	}
	for name, c := range list {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "c.toml")
			write(t, path, c.text)
			code, out, errs := call(t, "check-config", "--config", path)
			if code != 1 || !strings.Contains(errs, c.want) || out != "" {
				t.Errorf("check-config: exit %d, %q %q, want %q", code, out, errs, c.want)
			}
			if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
				t.Errorf("check-config left %v", files)
			}
			code, _, errs = call(t, "serve", "--config", path)
			if code != 1 || !strings.Contains(errs, c.want) {
				t.Errorf("serve: exit %d, %q, want %q", code, errs, c.want)
			}
			if strings.Contains(errs, "listening") || strings.Contains(errs, "secret@") {
				t.Error("it listened, or told a password")
			}
		})
	}
}

// What is right is accepted before the first start and after it, and nothing is
// made.
func TestCheckConfigAccepts(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.toml")
	write(t, path, brokenClient+brokenRule)
	code, out, errs := call(t, "check-config", "--config", path)
	if code != 0 || !strings.Contains(out, "1 clients, 0 upstreams, 1 rules") || errs != "" {
		t.Errorf("exit %d, %q %q", code, out, errs)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("it left %v", files)
	}
}
