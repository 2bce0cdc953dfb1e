package brokertest

import (
	"context"
	"net/http"
	"net/url"
	"sync/atomic"

	"github.com/eidbridge/eidbridge/brokers"
)

// ProofHeader is where Immediate finds what Finish would find in a callback.
const ProofHeader = "Test-Proof"

// Immediate is an Upstream that knows at once who asks, if the request has a
// ProofHeader: what a gateway in front of the broker might add.
type Immediate struct {
	*Upstream
	asked atomic.Int64
}

// Asked counts how often it was asked.
func (u *Immediate) Asked() int { return int(u.asked.Load()) }

// Recognize believes the header, which has the parameters of a callback.
func (u *Immediate) Recognize(r *http.Request, q brokers.AuthenticationRequest) (*brokers.AuthenticationEvent, error) {
	u.asked.Add(1)
	proof := r.Header.Get(ProofHeader)
	if proof == "" {
		return nil, nil //nolint:nilnil // the contract: it proves nothing, and that is no error
	}
	form, err := url.ParseQuery(proof)
	if err != nil {
		return nil, &brokers.RejectedError{Reason: "proof", Err: err}
	}
	return u.Finish(context.WithoutCancel(r.Context()), &http.Request{Form: form}, &brokers.Departure{RequestID: "_" + form.Get("assertion"), Request: q})
}
