package provider

import "time"

// Bounds on what comes from outside, in bytes where not said otherwise.
const (
	// maxParameters bounds an authorization request, query or form.
	maxParameters = 16 << 10
	// maxValue bounds state and nonce.
	maxValue = 1024
	// maxTokenBody bounds a token request.
	maxTokenBody = 16 << 10
	// maxCallbackBody bounds an upstream's answer: 256 KiB of SAML in base64,
	// with its parameters.
	maxCallbackBody = 384 << 10
	// maxForm bounds the forms of our own pages.
	maxForm = 4 << 10
	// maxListed bounds the entries of acr_values, scope and ui_locales.
	maxListed = 32
	// maxClaims bounds the claims parameter, maxClaimsDepth its nesting.
	maxClaims      = 8 << 10
	maxClaimsDepth = 16
	// maxJWT bounds a JWT from outside, maxJWTDepth its nesting, maxKeys the keys
	// that are tried on one.
	maxJWT      = 16 << 10
	maxJWTDepth = 16
	maxKeys     = 8
	// maxID bounds a jti.
	maxID = 256
	// maxRedirectURI bounds a registered redirect URI.
	maxRedirectURI = 2048
	// maxRelayState is SAML's bound (bindings 3.4.3).
	maxRelayState = 80
	// maxAttempts bounds the departures of one login.
	maxAttempts = 10
	// maxLoginCookies bounds the logins pending in one browser.
	maxLoginCookies = 8
	// maxRegistration bounds the metadata of a client, maxName its name.
	maxRegistration = 32 << 10
	maxName         = 128
	// maxPairwise bounds the versions of the pairwise secret.
	maxPairwise = 1000
	// maxEvents bounds the proofs that a session keeps.
	maxEvents = 4
	// maxSeconds bounds max_age: about thirty years.
	maxSeconds = 1_000_000_000
)

// Times that are no matter of taste.
const (
	// skew is how far the clocks of an upstream may be off.
	skew = 60 * time.Second
	// clientSkew is how far the clocks of clients may be off, assertionLife how
	// long their assertions may live, requestLife the same for request objects
	// (FAPI 2.0 message signing 5.3.1).
	clientSkew    = 10 * time.Second
	assertionLife = 5 * time.Minute
	requestLife   = time.Hour
	// proofAge is how old a DPoP proof may be or how far ahead; proofNonce is how
	// long one nonce is given out. The one before is still taken.
	proofAge   = 60 * time.Second
	proofNonce = 5 * time.Minute
	// startTimeout bounds the beginning of a login at an upstream, for which metadata
	// may have to be fetched.
	startTimeout = 10 * time.Second
	// finishTimeout bounds the checking of an answer, back channel included.
	finishTimeout = 30 * time.Second
	// logoutLife is how long somebody may be away to log out at upstreams.
	logoutLife = time.Hour
	// noticeLife is how long a logout notice is tried to be delivered.
	noticeLife = 10 * time.Minute
	// noticeLease is how long one replica has for a delivery, noticeTimeout how
	// long a relying party has to answer, and noticeBatch and noticeAtOnce how many
	// are taken and sent at a time.
	noticeLease   = 30 * time.Second
	noticeTimeout = 5 * time.Second
	noticeBatch   = 32
	noticeAtOnce  = 8
	// logoutTokenLife is how long a logout token may be used.
	logoutTokenLife = 2 * time.Minute
	// refreshGrace is how long an answer with new tokens may be asked for again.
	refreshGrace = 10 * time.Second
	// deviceInterval is how often a device may ask for its tokens.
	deviceInterval = 5 * time.Second
	// probeTimeout bounds the question where an upstream will send browsers.
	probeTimeout = 3 * time.Second
)

// Lifetimes are what a deployment may choose. Zero values stand for the default.
type Lifetimes struct {
	// Login is the time for one login, default 15 minutes.
	Login time.Duration
	// Code is at most 60 seconds (RFC 9700 asks for short), default 30.
	Code time.Duration
	// IDToken is default 5 minutes.
	IDToken time.Duration
	// AccessToken is default 5 minutes.
	AccessToken time.Duration
	// Pushed is the life of a pushed request, default 90 seconds, at most 600.
	Pushed time.Duration
	// Receipt is how long level receipts are kept, default 30 days.
	Receipt time.Duration
	// RefreshToken is the end of a grant with refresh tokens, counted from the
	// login, default 24 hours; RefreshIdle the life of one that is not used,
	// default 6 hours.
	RefreshToken, RefreshIdle time.Duration
	// Session is the end of a single sign-on session, default 8 hours.
	Session time.Duration
	// Device is the life of a device's codes, default 5 minutes.
	Device time.Duration
}

func (l *Lifetimes) complete() {
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&l.Login, 15 * time.Minute},
		{&l.Code, 30 * time.Second},
		{&l.IDToken, 5 * time.Minute},
		{&l.AccessToken, 5 * time.Minute},
		{&l.Receipt, 30 * 24 * time.Hour},
		{&l.Pushed, 90 * time.Second},
		{&l.RefreshToken, 24 * time.Hour},
		{&l.RefreshIdle, 6 * time.Hour},
		{&l.Session, 8 * time.Hour},
		{&l.Device, 5 * time.Minute},
	} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
}
