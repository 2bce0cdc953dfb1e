package securemessaging

import (
	"github.com/eidbridge/eidbridge/cardreader/apdu"
)

// maxWrapped bounds the protected data objects of one command, in bytes: what a
// short APDU carries. Neither card of this profile takes extended lengths.
const maxWrapped = apdu.MaxShortData

// maxAnswer bounds a protected answer with its status word, in bytes.
const maxAnswer = apdu.MaxData + 2
