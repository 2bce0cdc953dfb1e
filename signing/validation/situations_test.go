package validation_test

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"time"

	"github.com/eidbridge/eidbridge/signing"
)

func validity(from, to time.Duration) change {
	return func(c *x509.Certificate, now time.Time) { c.NotBefore, c.NotAfter = now.Add(from), now.Add(to) }
}

func usage(u x509.KeyUsage) change {
	return func(c *x509.Certificate, _ time.Time) { c.KeyUsage = u }
}

func extension(critical bool, value []byte, oid ...int) change {
	return func(c *x509.Certificate, _ time.Time) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier(oid), Critical: critical, Value: value})
	}
}

// judgedSituation is a situation with the verdict on what is signed in it.
type judgedSituation struct {
	situation
	want string
	// basic tells that the level is B-B for all but PDF, where the time-stamp does
	// not make another.
	basic bool
	// dss is the verdict of DSS where it is another one, and why.
	dss, why string
}

// situations are states of the authorities, with the verdict that EN 319 102-1
// demands. Their number
// times that of the forms is the number of documents.
func situations() []judgedSituation {
	plain := func(*x509.Certificate, time.Time) {}
	return []judgedSituation{
		{situation: situation{name: "all right"}, want: "TOTAL_PASSED"},
		{situation: situation{name: "all right, T", level: signing.BaselineT}, want: "TOTAL_PASSED"},
		{situation: situation{name: "all right, LT", level: signing.BaselineLT}, want: "TOTAL_PASSED"},
		{situation: situation{name: "all right, LTA", level: signing.BaselineLTA}, want: "TOTAL_PASSED"},
		{situation: situation{name: "lists, LT", level: signing.BaselineLT, lists: true}, want: "TOTAL_PASSED"},
		{situation: situation{name: "lists"}, want: "TOTAL_PASSED"},
		{situation: situation{name: "longer path", second: plain}, want: "TOTAL_PASSED"},
		{situation: situation{name: "longer path, LTA", second: plain, level: signing.BaselineLTA}, want: "TOTAL_PASSED"},
		{situation: situation{name: "no anchor", untrusted: true}, want: "INDETERMINATE/NO_CERTIFICATE_CHAIN_FOUND"},
		{situation: situation{name: "no anchor, LTA", untrusted: true, level: signing.BaselineLTA}, want: "INDETERMINATE/NO_CERTIFICATE_CHAIN_FOUND"},
		{situation: situation{name: "issuer as anchor", trustIssuer: true}, want: "TOTAL_PASSED"},
		{situation: situation{name: "signer as anchor", trustSigner: true}, want: "TOTAL_PASSED"},
		{situation: situation{name: "RSA-2048", rsa: 2048}, want: "TOTAL_PASSED"},
		{situation: situation{name: "RSA-PSS", rsa: 2048, pss: true}, want: "TOTAL_PASSED"},
		{situation: situation{name: "RSA-PSS SHA-512", rsa: 2048, pss: true, hash: crypto.SHA512}, want: "TOTAL_PASSED"},
		{situation: situation{name: "SHA-512", hash: crypto.SHA512}, want: "TOTAL_PASSED"},
		{situation: situation{name: "issuer signs over SHA-1", issuerHash: x509.SHA1WithRSA}, want: "INDETERMINATE/CRYPTO_CONSTRAINTS_FAILURE_NO_POE"},

		{
			situation: situation{name: "expired", signedAgo: 3 * week, signer: validity(-year, -2*week)}, want: "INDETERMINATE/TRY_LATER",
			dss: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE", why: "where no answer counts, DSS says that the path fails and not to come back later (EN 319 102-1 5.2.6.4 4)",
		},
		{situation: situation{name: "expired, kept", kept: true, signedAgo: 3 * week, signer: validity(-year, -2*week)}, want: "INDETERMINATE/OUT_OF_BOUNDS_NOT_REVOKED"},
		{
			situation: situation{name: "expired since, T", level: signing.BaselineT, signedAgo: 3 * week, signer: validity(-year, -2*week)}, want: "INDETERMINATE/TRY_LATER",
			dss: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE", why: "where no answer counts, DSS says that the path fails and not to come back later (EN 319 102-1 5.2.6.4 4)",
		},
		{situation: situation{name: "expired since, T, kept", kept: true, level: signing.BaselineT, signedAgo: 3 * week, signer: validity(-year, -2*week)}, want: "TOTAL_PASSED"},
		{situation: situation{name: "expired since, LT", level: signing.BaselineLT, signedAgo: 3 * week, signer: validity(-year, -2*week)}, want: "TOTAL_PASSED"},
		{situation: situation{name: "expired since, LTA", level: signing.BaselineLTA, signedAgo: 3 * week, signer: validity(-year, -2*week)}, want: "TOTAL_PASSED"},
		{
			situation: situation{name: "expired before, T", level: signing.BaselineT, signedAgo: week, signer: validity(-year, -2*week)}, want: "INDETERMINATE/TRY_LATER", basic: true,
			dss: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE", why: "where no answer counts, DSS says that the path fails and not to come back later (EN 319 102-1 5.2.6.4 4)",
		},
		{situation: situation{name: "expired before, T, kept", kept: true, level: signing.BaselineT, signedAgo: week, signer: validity(-year, -2*week)}, want: "INDETERMINATE/OUT_OF_BOUNDS_NOT_REVOKED", basic: true},
		{
			situation: situation{name: "not yet valid", signer: validity(week, year)}, want: "INDETERMINATE/TRY_LATER",
			dss: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE", why: "where no answer counts, DSS says that the path fails and not to come back later (EN 319 102-1 5.2.6.4 4)",
		},
		{
			situation: situation{name: "not yet valid then, T", level: signing.BaselineT, signedAgo: 3 * week, signer: validity(-week, year)}, want: "TOTAL_FAILED/NOT_YET_VALID",
			dss: "INDETERMINATE/SIG_CONSTRAINTS_FAILURE", why: "DSS stops at the claimed time, which proves nothing; the time-stamp does (EN 319 102-1 5.5.4)",
		},
		{
			situation: situation{name: "issuer expired", signedAgo: 3 * week, issuer: validity(-2*year, -2*week)}, want: "INDETERMINATE/TRY_LATER",
			dss: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE", why: "where no answer counts, DSS says that the path fails and not to come back later (EN 319 102-1 5.2.6.4 4)",
		},
		{
			situation: situation{name: "issuer expired, kept", kept: true, signedAgo: 3 * week, issuer: validity(-2*year, -2*week)}, want: "INDETERMINATE/OUT_OF_BOUNDS_NO_POE",
			dss: "TOTAL_PASSED", why: "DSS's default policy does not look at the validity of issuers; RFC 5280 6.1.3 does",
		},
		{situation: situation{name: "issuer expired since, LTA", level: signing.BaselineLTA, signedAgo: 3 * week, issuer: validity(-2*year, -2*week)}, want: "TOTAL_PASSED"},
		{
			situation: situation{name: "root expired", root: validity(-3*year, -week)}, want: "TOTAL_PASSED",
			dss: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE", why: "what is trusted is a key and a name, not the validity of their certificate (RFC 5280 6.1.1 d)",
		},

		{situation: situation{name: "revoked (P-25)", signedAgo: week, signerRevoked: &revoked{ago: 2 * week, reason: 1}}, want: "INDETERMINATE/REVOKED_NO_POE"},
		{situation: situation{name: "revoked, by list", signedAgo: week, lists: true, signerRevoked: &revoked{ago: 2 * week, reason: 1}}, want: "INDETERMINATE/REVOKED_NO_POE"},
		{situation: situation{name: "revoked since (P-25)", signedAgo: 3 * week, signerRevoked: &revoked{ago: 2 * week}}, want: "INDETERMINATE/REVOKED_NO_POE"},
		{situation: situation{name: "revoked before, T (P-25)", level: signing.BaselineT, signedAgo: week, signerRevoked: &revoked{ago: 2 * week, reason: 1}}, want: "INDETERMINATE/REVOKED_NO_POE"},
		{situation: situation{name: "revoked before, by list, T", lists: true, level: signing.BaselineT, signedAgo: week, signerRevoked: &revoked{ago: 2 * week, reason: 1}}, want: "INDETERMINATE/REVOKED_NO_POE"},
		{situation: situation{name: "revoked since, T (P-25)", level: signing.BaselineT, signedAgo: 3 * week, signerRevoked: &revoked{ago: 2 * week, reason: 4}}, want: "TOTAL_PASSED"},
		{situation: situation{name: "revoked since, LT", level: signing.BaselineLT, signedAgo: 3 * week, signerRevoked: &revoked{ago: 2 * week, reason: 4}}, want: "TOTAL_PASSED"},
		{situation: situation{name: "revoked since, LTA", level: signing.BaselineLTA, signedAgo: 3 * week, signerRevoked: &revoked{ago: 2 * week, reason: 4}}, want: "TOTAL_PASSED"},
		{
			situation: situation{name: "revoked and expired", signedAgo: 3 * week, signer: validity(-year, -week), signerRevoked: &revoked{ago: 4 * week, reason: 1}}, want: "INDETERMINATE/REVOKED_NO_POE",
			dss: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE", why: "a revocation counts whenever it was told",
		},
		{situation: situation{name: "suspended", signedAgo: week, signerRevoked: &revoked{ago: 2 * week, reason: 6}}, want: "INDETERMINATE/TRY_LATER"},
		{situation: situation{name: "suspended since, T", level: signing.BaselineT, signedAgo: 3 * week, signerRevoked: &revoked{ago: 2 * week, reason: 6}}, want: "TOTAL_PASSED"},
		{situation: situation{name: "issuer revoked", issuerRevoked: &revoked{ago: 2 * week, reason: 1}}, want: "INDETERMINATE/REVOKED_CA_NO_POE"},
		{situation: situation{name: "issuer revoked, longer path", second: plain, issuerRevoked: &revoked{ago: 2 * week, reason: 1}}, want: "INDETERMINATE/REVOKED_CA_NO_POE"},
		{situation: situation{name: "issuer revoked before, T", level: signing.BaselineT, signedAgo: week, issuerRevoked: &revoked{ago: 2 * week, reason: 1}}, want: "INDETERMINATE/REVOKED_CA_NO_POE"},
		{situation: situation{name: "issuer revoked since, LTA", level: signing.BaselineLTA, signedAgo: 3 * week, issuerRevoked: &revoked{ago: 2 * week, reason: 1}}, want: "TOTAL_PASSED"},

		{
			situation: situation{name: "nobody answers", silent: true}, want: "INDETERMINATE/TRY_LATER",
			dss: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE", why: "where no answer counts, DSS says that the path fails and not to come back later (EN 319 102-1 5.2.6.4 4)",
		},
		{
			situation: situation{name: "nobody answers, T", silent: true, level: signing.BaselineT}, want: "INDETERMINATE/TRY_LATER",
			dss: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE", why: "where no answer counts, DSS says that the path fails and not to come back later (EN 319 102-1 5.2.6.4 4)",
		},
		{
			situation: situation{name: "status unknown (P-24)", answer: answerUnknown}, want: "INDETERMINATE/TRY_LATER",
			dss: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE", why: "where no answer counts, DSS says that the path fails and not to come back later (EN 319 102-1 5.2.6.4 4)",
		},
		{
			situation: situation{name: "answer of a stranger (P-24)", answer: answerStranger}, want: "INDETERMINATE/TRY_LATER",
			dss: "TOTAL_PASSED", why: "DSS's default policy takes any certificate below a trusted one for a responder; RFC 6960 4.2.2.2 demands its extended key usage",
		},
		{
			situation: situation{name: "answer damaged (P-24)", answer: answerDamaged}, want: "INDETERMINATE/TRY_LATER",
			dss: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE", why: "where no answer counts, DSS says that the path fails and not to come back later (EN 319 102-1 5.2.6.4 4)",
		},
		{
			situation: situation{name: "answer about another (P-24)", answer: answerOther}, want: "INDETERMINATE/TRY_LATER",
			dss: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE", why: "where no answer counts, DSS says that the path fails and not to come back later (EN 319 102-1 5.2.6.4 4)",
		},
		{situation: situation{name: "answer by the issuer", answer: answerByIssuer}, want: "TOTAL_PASSED"},
		{
			situation: situation{name: "answer from last month (P-24)", answered: 30 * day}, want: "INDETERMINATE/TRY_LATER",
			dss: "TOTAL_PASSED", why: "DSS's default policy takes answers of any age; this one ended before the signature is known to exist (EN 319 102-1 5.2.5)",
		},
		{
			situation: situation{name: "responder expired (P-24)", responder: validity(-year, -week)}, want: "INDETERMINATE/TRY_LATER",
			dss: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE", why: "where no answer counts, DSS says that the path fails and not to come back later (EN 319 102-1 5.2.6.4 4)",
		},
		{
			situation: situation{name: "responder for something else (P-24)", responder: func(c *x509.Certificate, _ time.Time) { c.ExtKeyUsage = nil }}, want: "INDETERMINATE/TRY_LATER",
			dss: "TOTAL_PASSED", why: "DSS's default policy takes any certificate below a trusted one for a responder; RFC 6960 4.2.2.2 demands its extended key usage",
		},
		{situation: situation{name: "short-lived", mute: true, signer: extension(false, []byte{5, 0}, 0, 4, 0, 194121, 2, 1)}, want: "TOTAL_PASSED"},
		{situation: situation{name: "no revocation available", mute: true, signer: extension(false, []byte{5, 0}, 2, 5, 29, 56)}, want: "TOTAL_PASSED"},

		{situation: situation{name: "issuer may not certify", issuer: usage(x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature)}, want: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE"},
		{situation: situation{name: "issuer is no authority", issuer: func(c *x509.Certificate, _ time.Time) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature }}, want: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE"},
		{situation: situation{name: "issuer without basic constraints", issuer: func(c *x509.Certificate, _ time.Time) { c.IsCA, c.BasicConstraintsValid = false, false }}, want: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE"},
		{situation: situation{name: "path too long", second: plain, issuer: func(c *x509.Certificate, _ time.Time) { c.MaxPathLenZero = true }}, want: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE"},
		{
			situation: situation{name: "name not permitted", issuer: func(c *x509.Certificate, _ time.Time) {
				c.PermittedEmailAddresses, c.PermittedDNSDomainsCritical = []string{"good.example"}, true
			}, signer: func(c *x509.Certificate, _ time.Time) { c.EmailAddresses = []string{"x@bad.example"} }}, want: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE",
			dss: "TOTAL_PASSED", why: "DSS does not look at these name constraints (RFC 5280 4.2.1.10)",
		},
		{
			situation: situation{name: "unknown critical extension", signer: extension(true, []byte{5, 0}, 2, 999, 7)}, want: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE",
			dss: "TOTAL_PASSED", why: "RFC 5280 4.2: a system must reject what it does not recognise",
		},
		{
			situation: situation{name: "unknown critical extension of the issuer", issuer: extension(true, []byte{5, 0}, 2, 999, 7)}, want: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE",
			dss: "TOTAL_PASSED", why: "RFC 5280 4.2: a system must reject what it does not recognise",
		},
		{
			situation: situation{name: "key for encryption", signer: usage(x509.KeyUsageKeyEncipherment)}, want: "INDETERMINATE/CHAIN_CONSTRAINTS_FAILURE",
			dss: "TOTAL_PASSED", why: "DSS's default policy does not look at key usage; signatures want one of two bits",
		},
		{situation: situation{name: "key for authentication", signer: usage(x509.KeyUsageDigitalSignature)}, want: "TOTAL_PASSED"},
		{situation: situation{name: "no key usage", signer: usage(0)}, want: "TOTAL_PASSED"},

		{situation: situation{name: "stranger's time-stamp", level: signing.BaselineT, stranger: true}, want: "TOTAL_PASSED"},
		{
			situation: situation{name: "stranger's time-stamp, expired since (P-23)", level: signing.BaselineT, stranger: true, signedAgo: 3 * week, signer: validity(-year, -2*week)}, want: "INDETERMINATE/TRY_LATER",
			dss: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE", why: "where no answer counts, DSS says that the path fails and not to come back later (EN 319 102-1 5.2.6.4 4)",
		},
		{situation: situation{name: "stranger's time-stamp, expired since, kept", kept: true, level: signing.BaselineT, stranger: true, signedAgo: 3 * week, signer: validity(-year, -2*week)}, want: "INDETERMINATE/OUT_OF_BOUNDS_NOT_REVOKED"},
		{situation: situation{name: "stranger's time-stamps, LTA, expired since", level: signing.BaselineLTA, stranger: true, signedAgo: 3 * week, signer: validity(-year, -2*week)}, want: "INDETERMINATE/OUT_OF_BOUNDS_NOT_REVOKED"},
		{situation: situation{name: "time-stamping unit expired since, T", level: signing.BaselineT, signedAgo: 3 * week, unit: validity(-year, -2*week)}, want: "TOTAL_PASSED"},
		{
			situation: situation{name: "unit and signer expired since, T", level: signing.BaselineT, signedAgo: 3 * week, unit: validity(-year, -2*week), signer: validity(-year, -2*week)}, want: "INDETERMINATE/TRY_LATER",
			dss: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE", why: "where no answer counts, DSS says that the path fails and not to come back later (EN 319 102-1 5.2.6.4 4)",
		},
		{situation: situation{name: "unit and signer expired since, T, kept", kept: true, level: signing.BaselineT, signedAgo: 3 * week, unit: validity(-year, -2*week), signer: validity(-year, -2*week)}, want: "INDETERMINATE/OUT_OF_BOUNDS_NOT_REVOKED"},
		{
			situation: situation{name: "unit was expired, T (P-23)", level: signing.BaselineT, signedAgo: week, signer: validity(-year, -2*day), unit: validity(-year, -2*week)}, want: "INDETERMINATE/TRY_LATER",
			dss: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE", why: "where no answer counts, DSS says that the path fails and not to come back later (EN 319 102-1 5.2.6.4 4)",
		},
		{situation: situation{name: "unit was expired, T, kept", kept: true, level: signing.BaselineT, signedAgo: week, signer: validity(-year, -2*day), unit: validity(-year, -2*week)}, want: "INDETERMINATE/OUT_OF_BOUNDS_NOT_REVOKED"},
		{
			situation: situation{name: "unit revoked before, signer expired since, T", level: signing.BaselineT, signedAgo: 3 * week, signer: validity(-year, -2*week), unitRevoked: &revoked{ago: 4 * week, reason: 1}}, want: "INDETERMINATE/TRY_LATER",
			dss: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE", why: "where no answer counts, DSS says that the path fails and not to come back later (EN 319 102-1 5.2.6.4 4)",
		},
		{situation: situation{name: "unit revoked before, signer expired since, T, kept", kept: true, level: signing.BaselineT, signedAgo: 3 * week, signer: validity(-year, -2*week), unitRevoked: &revoked{ago: 4 * week, reason: 1}}, want: "INDETERMINATE/OUT_OF_BOUNDS_NOT_REVOKED"},
		{
			situation: situation{name: "unit for something else too, signer expired since, T (P-23)", level: signing.BaselineT, signedAgo: 3 * week, signer: validity(-year, -2*week), unit: func(c *x509.Certificate, _ time.Time) {
				c.ExtraExtensions = nil
				c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping, x509.ExtKeyUsageServerAuth}
			}}, want: "INDETERMINATE/TRY_LATER",
			dss: "INDETERMINATE/CERTIFICATE_CHAIN_GENERAL_FAILURE", why: "where no answer counts, DSS says that the path fails and not to come back later (EN 319 102-1 5.2.6.4 4)",
		},
		{
			situation: situation{name: "unit for something else too, signer expired since, T, kept", kept: true, level: signing.BaselineT, signedAgo: 3 * week, signer: validity(-year, -2*week), unit: func(c *x509.Certificate, _ time.Time) {
				c.ExtraExtensions = nil
				c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping, x509.ExtKeyUsageServerAuth}
			}}, want: "INDETERMINATE/OUT_OF_BOUNDS_NOT_REVOKED",
			dss: "TOTAL_PASSED", why: "RFC 3161 2.3: a key that stamps does nothing else",
		},
	}
}
