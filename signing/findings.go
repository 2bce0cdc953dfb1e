package signing

// Codes of findings that several formats give. A program may rely on them.
const (
	FindCMS           = "cms_format"      // malformed or unsuitable CMS
	FindDigest        = "message_digest"  // signed bytes were changed
	FindValue         = "signature_value" // value is wrong under the key
	FindNoCertificate = "no_signing_certificate"
	FindBinding       = "certificate_binding" // signing-certificate does not fit
	FindNoBinding     = "no_signing_certificate_attribute"
	FindNoAttributes  = "no_signed_attributes"
	FindAlgorithm     = "algorithm_unknown"
	FindWeak          = "algorithm_weak"
	FindNoChain       = "no_certificate_chain"
	FindRevocation    = "revocation_not_checked"
	FindChain         = "certificate_chain"
	FindValidity      = "certificate_validity"
	FindKeyUsage      = "key_usage"
	FindNotBaseline   = "not_baseline"
	FindLevel         = "baseline_level" // below the level that was required
	FindTimeStamp     = "time_stamp"
	FindRevoked       = "certificate_revoked"
)
