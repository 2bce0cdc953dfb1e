package provider

// The two kinds of keys to which tokens are bound, as brokers.Token names them.
const (
	// boundByProof is a thumbprint of a DPoP key (RFC 9449, RFC 7638).
	boundByProof = "jkt:"
	// boundByCertificate is a thumbprint of a client certificate (RFC 8705).
	boundByCertificate = "x5t#S256:"
)
