package localapi

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/eidbridge/eidbridge/desktop"
)

// view is a request as its page sees it.
type view struct {
	ID     string        `json:"id"`
	State  desktop.State `json:"state"`
	Seq    int           `json:"seq"`
	Detail *viewDetail   `json:"detail,omitzero"`
	Error  *problem      `json:"error,omitzero"`

	// Set when the state is done.
	Certificate string       `json:"certificate,omitzero"`
	Chain       []string     `json:"chain,omitzero"`
	Sign        []viewSigned `json:"sign,omitzero"`
	// Authenticate is the token of a login.
	Authenticate *desktop.Token `json:"authenticate,omitzero"`
	Audit        *viewAudit     `json:"audit,omitzero"`
}

type viewDetail struct {
	Card      desktop.CardPresence `json:"card,omitzero"`
	TriesLeft *int                 `json:"tries_left,omitzero"`
	Document  int                  `json:"document,omitzero"`
	Of        int                  `json:"of,omitzero"`
}

type viewSigned struct {
	N                  int        `json:"n"`
	Signed             string     `json:"signed"`
	SignatureAlgorithm string     `json:"signature_algorithm"`
	SignedDigest       viewDigest `json:"signed_digest"`
}

type viewDigest struct {
	Alg   string `json:"alg"`
	Value string `json:"value"`
}

type viewAudit struct {
	Time         time.Time `json:"time"`
	Origin       string    `json:"origin"`
	Consent      string    `json:"consent"`
	AgentVersion string    `json:"agent_version"`
}

func (d *Door) view(s desktop.Snapshot) view {
	v := view{ID: s.ID, State: s.State, Seq: s.Seq, Error: outcome(s)}
	if s.Detail != (desktop.Detail{}) {
		v.Detail = &viewDetail{
			Card: s.Detail.Card, TriesLeft: s.Detail.TriesLeft,
			Document: s.Detail.Document, Of: s.Detail.Of,
		}
	}
	if s.State != desktop.StateDone {
		return v
	}
	v.Certificate = base64.StdEncoding.EncodeToString(s.Certificate.Raw)
	v.Chain = []string{}
	v.Authenticate = s.Token
	for _, signed := range s.Signed {
		v.Sign = append(v.Sign, viewSigned{
			N:                  signed.N,
			Signed:             pathRequests + "/" + s.ID + "/documents/" + strconv.Itoa(signed.N) + "/signed",
			SignatureAlgorithm: algorithm(signed.Algorithm),
			SignedDigest:       viewDigest{Alg: "SHA-256", Value: base64.RawURLEncoding.EncodeToString(signed.SHA256[:])},
		})
	}
	v.Audit = &viewAudit{
		Time: s.Finished.Truncate(time.Second), Origin: s.Origin.String(), Consent: "shown", AgentVersion: d.Version,
	}
	return v
}

// algorithm makes "ECDSA-SHA384" of "ECDSA with SHA-384".
func algorithm(name string) string {
	scheme, hash, ok := strings.Cut(name, " with ")
	if !ok {
		return name
	}
	return scheme + "-" + strings.ReplaceAll(hash, "-", "")
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
