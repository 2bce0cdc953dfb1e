package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// logoutClaims are the claims of a logout token (OpenID Connect Back-Channel
// Logout 1.0, 2.4): all that is needed to end one login at one client, and no
// nonce.
type logoutClaims struct {
	Issuer    string         `json:"iss"`
	Subject   string         `json:"sub"`
	Audience  string         `json:"aud"`
	IssuedAt  int64          `json:"iat"`
	Expiry    int64          `json:"exp"`
	ID        string         `json:"jti"`
	Events    map[string]any `json:"events"`
	SessionID string         `json:"sid"`
}

// wakeNotices has the outbox looked at now.
func (p *Provider) wakeNotices() {
	select {
	case p.notices <- struct{}{}:
	default: // it is going to be
	}
}

// DeliverNotices tells relying parties that sessions ended, until ctx ends. The
// notices are in the store, so that they outlive the process and are delivered
// by whichever replica takes them; nobody who logs out waits for it.
func (p *Provider) DeliverNotices(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		for p.deliverBatch(ctx) == noticeBatch && ctx.Err() == nil {
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-p.notices:
		}
	}
}

// deliverBatch delivers what is due and says how much that was.
func (p *Provider) deliverBatch(ctx context.Context) int {
	now := p.cfg.Now()
	list, err := p.cfg.Store.DueNotices(ctx, now, now.Add(noticeLease), noticeBatch)
	if err != nil {
		if ctx.Err() == nil {
			p.cfg.Log.WarnContext(ctx, "notices were not taken", "error", err)
		}
		return 0
	}
	slots := make(chan struct{}, noticeAtOnce)
	var all sync.WaitGroup
	for _, n := range list {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			p.settle(ctx, n, p.deliver(ctx, n))
		})
	}
	all.Wait()
	return len(list)
}

// settle notes what became of a notice: delivered, or again later.
func (p *Provider) settle(ctx context.Context, n brokers.Notice, failure error) {
	attributes := []slog.Attr{slog.String("client", n.ClientID), slog.Int("attempt", n.Attempts)}
	var err error
	if failure == nil {
		err = p.cfg.Store.SettleNotice(ctx, n.ID)
		p.record(ctx, "notice.delivered", "ok", attributes...)
	} else {
		wait := 5 * time.Second << min(n.Attempts-1, 6)
		err = p.cfg.Store.PostponeNotice(ctx, n.ID, p.cfg.Now().Add(wait))
		p.record(ctx, "notice.failed", "retry", append(attributes, slog.String("error", failure.Error()))...)
	}
	if err != nil {
		p.cfg.Log.WarnContext(ctx, "notice was not settled", "error", err)
	}
}

// deliver posts one logout token. A client that wants none is done.
func (p *Provider) deliver(ctx context.Context, n brokers.Notice) error {
	client, err := p.client(ctx, n.ClientID)
	if errors.Is(err, brokers.ErrNotFound) || err == nil && client.BackChannelLogoutURI == "" {
		return nil
	}
	if err != nil {
		return err
	}
	id, err := p.random(16)
	if err != nil {
		return err
	}
	now := p.cfg.Now()
	token, err := p.cfg.Keys.sign(client.SigningAlgorithm, typeLogout, logoutClaims{
		Issuer: p.cfg.Issuer, Subject: n.Subject, Audience: client.ID, SessionID: n.SessionID, ID: id,
		IssuedAt: numericDate(now), Expiry: numericDate(now.Add(logoutTokenLife)),
		Events: map[string]any{"http://schemas.openid.net/event/backchannel-logout": struct{}{}},
	}, now)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, noticeTimeout)
	defer cancel()
	body := strings.NewReader(url.Values{"logout_token": {token}}.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, client.BackChannelLogoutURI, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := p.cfg.Outgoing.Do(req)
	if err != nil {
		return errors.New("relying party was not reached") // the error has the token's address
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("relying party answered %d", resp.StatusCode)
	}
	return nil
}

// guardedClient is for addresses that registrations name: no redirection, no
// proxy, and no address inside (O-70, O-77), unless we are inside ourselves.
func guardedClient(inside bool) *http.Client {
	dialer := &net.Dialer{Timeout: 3 * time.Second}
	if !inside {
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return err
			}
			if ip, err := netip.ParseAddr(host); err != nil || !isPublic(ip) {
				return errors.New("address is not public")
			}
			return nil
		}
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: 3 * time.Second, ResponseHeaderTimeout: noticeTimeout,
			MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       2 * noticeTimeout,
	}
}

// isPublic reports whether an address can be anybody's: not this machine, not a
// private network, not a shared or translated one that leads to such (RFC 6890).
func isPublic(ip netip.Addr) bool {
	ip = ip.Unmap()
	for _, inner := range []string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"} {
		if netip.MustParsePrefix(inner).Contains(ip) {
			return false
		}
	}
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast()
}
