package pace

import "time"

// Bounds on what comes from a card.
const (
	// maxCardAccess bounds EF.CardAccess, in bytes; real files have some
	// hundred.
	maxCardAccess = 4 << 10
	// maxSecurityInfos bounds its entries.
	maxSecurityInfos = 64
	// maxNonce bounds the encrypted nonce, in bytes: two AES blocks.
	maxNonce = 32
	// maxDraws bounds the attempts at a private key below the order of the
	// curve. Each succeeds with more than one half.
	maxDraws = 128

	// agreementTimeout bounds a step that makes the chip multiply points.
	agreementTimeout = 30 * time.Second
)
