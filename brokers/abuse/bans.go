package abuse

import (
	"context"
	"encoding/hex"
	"log/slog"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// banID names a ban without telling whose it is.
func banID(key brokers.Hash) string { return hex.EncodeToString(key[:6]) }

// Bans lists the bans that have not ended.
func (g *Guard) Bans(ctx context.Context) ([]brokers.Ban, error) {
	return g.options.Strikes.Bans(ctx, g.options.Now())
}

// Lift ends a ban, and forgets the wrong tries of its address that led to it; other
// replicas learn of it by Follow. brokers.ErrNotFound is a ban that there is not.
// The audit event names the ban and never the address.
func (g *Guard) Lift(ctx context.Context, actor, id string) error {
	now := g.options.Now()
	list, err := g.options.Strikes.Bans(ctx, now)
	if err != nil {
		return err
	}
	for _, b := range list {
		if b.ID != id {
			continue
		}
		for _, key := range []brokers.Hash{g.keyed(string(ban), b.Address), g.keyed(string(every), b.Address)} {
			if err := g.quash(ctx, key, now); err != nil {
				return err
			}
		}
		if err := g.options.Strikes.DeleteBan(ctx, id); err != nil {
			return err
		}
		g.tell(ctx, "abuse.ban_lifted", "ok", slog.String("ban", id), slog.String("actor", actor))
		return nil
	}
	return brokers.ErrNotFound
}

func (g *Guard) quash(ctx context.Context, key brokers.Hash, now time.Time) error {
	if err := g.options.Strikes.Quash(ctx, key, now); err != nil {
		return err
	}
	g.mu.Lock()
	delete(g.seen, key)
	g.mu.Unlock()
	return nil
}
