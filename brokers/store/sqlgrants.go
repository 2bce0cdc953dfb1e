package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// IssueCode advances t, uses up its pushed request, stores the grant behind the
// code and notes who takes part in the session: all or nothing.
func (d *database) IssueCode(ctx context.Context, t *brokers.Transaction, from brokers.State, code brokers.Hash, g *brokers.Grant) error {
	data, err := encode(g)
	if err != nil {
		return err
	}
	err = d.transaction(ctx, func(statement func(string) *sql.Stmt) error {
		if err := advance(ctx, statement("advance"), t, from); err != nil {
			return err
		}
		if t.Pushed != (brokers.Hash{}) {
			if err := changed(statement("use pushed").ExecContext(ctx, t.Pushed[:])); err != nil {
				return err
			}
		}
		if g.Session != "" {
			if err := takePart(ctx, statement, g); err != nil {
				return err
			}
		}
		_, err := statement("insert grant").ExecContext(ctx, code[:], millis(g.CodeExpiresAt), nullable(g.Session), data, millis(g.CodeExpiresAt))
		return err
	})
	if err == nil {
		t.Revision++
	}
	return d.instead(err, brokers.ErrConflict)
}

// takePart notes a client in a session, which must not have ended.
func takePart(ctx context.Context, statement func(string) *sql.Stmt, g *brokers.Grant) error {
	session, err := one[brokers.Session](statement("hold session").QueryRowContext(ctx, g.Session))
	if errors.Is(err, brokers.ErrNotFound) {
		return brokers.ErrConflict
	}
	if err != nil {
		return err
	}
	data, err := encode(participant(g))
	if err != nil {
		return err
	}
	_, err = statement("take part").ExecContext(ctx, g.Session, g.Request.ClientID, data, millis(session.ExpiresAt))
	return err
}

// RedeemCode turns a code into a token, once. A second time revokes the grant.
func (d *database) RedeemCode(ctx context.Context, code, access brokers.Hash, token brokers.Token, now time.Time) (*brokers.Grant, error) {
	data, err := encode(token)
	if err != nil {
		return nil, err
	}
	end := millis(token.ExpiresAt)
	g, err := one[brokers.Grant](d.statements["redeem"].QueryRowContext(ctx, millis(now), access[:], end, data, end, end, code[:], millis(now)))
	if !errors.Is(err, brokers.ErrNotFound) {
		return g, err
	}
	g, err = one[brokers.Grant](d.statements["revoke replayed"].QueryRowContext(ctx, millis(now), code[:]))
	if err != nil {
		return nil, err
	}
	return g, brokers.ErrReplayed
}

// AccessToken loads a live access token and what it stands for.
func (d *database) AccessToken(ctx context.Context, access brokers.Hash, now time.Time) (*brokers.Grant, *brokers.Token, error) {
	g, token, err := pair(d.statements["first token"].QueryRowContext(ctx, access[:], millis(now)))
	if errors.Is(err, brokers.ErrNotFound) {
		return pair(d.statements["further token"].QueryRowContext(ctx, access[:], millis(now)))
	}
	return g, token, err
}

// pair reads the blobs of a grant and a token, and what comes after them.
func pair(row *sql.Row, more ...any) (*brokers.Grant, *brokers.Token, error) {
	var grant, token []byte
	if err := row.Scan(append([]any{&grant, &token}, more...)...); err != nil {
		return nil, nil, missing(err)
	}
	g, err := decode[brokers.Grant](grant)
	if err != nil {
		return nil, nil, err
	}
	t, err := decode[brokers.Token](token)
	return g, t, err
}

// SaveRefreshToken adds the first refresh token to the grant of a code that was
// redeemed; ErrNotFound if it has been revoked.
func (d *database) SaveRefreshToken(ctx context.Context, code, refresh brokers.Hash, token brokers.Token) error {
	return d.transaction(ctx, func(statement func(string) *sql.Stmt) error {
		return addRefreshToken(ctx, statement, code[:], refresh, token)
	})
}

// addRefreshToken lengthens the life of the grant, which locks it, and adds the
// token.
func addRefreshToken(ctx context.Context, statement func(string) *sql.Stmt, code []byte, refresh brokers.Hash, token brokers.Token) error {
	data, err := encode(token)
	if err != nil {
		return err
	}
	if err := lengthen(ctx, statement, code, token.ExpiresAt); err != nil {
		return err
	}
	_, err = statement("insert refresh token").ExecContext(ctx, refresh[:], code, data, millis(token.ExpiresAt))
	return err
}

func lengthen(ctx context.Context, statement func(string) *sql.Stmt, code []byte, end time.Time) error {
	err := changed(statement("lengthen").ExecContext(ctx, millis(end), millis(end), code))
	if errors.Is(err, brokers.ErrConflict) {
		return brokers.ErrNotFound
	}
	return err
}

// RefreshToken loads a refresh token, used or not, whose grant was not revoked.
func (d *database) RefreshToken(ctx context.Context, refresh brokers.Hash, now time.Time) (*brokers.Grant, *brokers.Token, error) {
	var usedAt sql.NullInt64
	g, token, err := pair(d.statements["refresh token"].QueryRowContext(ctx, refresh[:], millis(now)), &usedAt)
	if err == nil {
		token.Used = usedAt.Valid
	}
	return g, token, err
}

// Refresh uses a refresh token. A second use outside the grace revokes the
// grant and is ErrReplayed.
func (d *database) Refresh(ctx context.Context, r brokers.Refreshing) error {
	replayed := false
	err := d.transaction(ctx, func(statement func(string) *sql.Stmt) error {
		code, err := useRefreshToken(ctx, statement, r)
		if errors.Is(err, brokers.ErrNotFound) {
			replayed, err = answerAgain(ctx, statement, r)
			return err
		}
		if err != nil {
			return err
		}
		data, err := encode(r.AccessToken)
		if err != nil {
			return err
		}
		if r.Next != (brokers.Hash{}) {
			err = addRefreshToken(ctx, statement, code, r.Next, r.NextToken)
		} else {
			err = lengthen(ctx, statement, code, r.NextToken.ExpiresAt)
		}
		if err != nil {
			return err
		}
		_, err = statement("insert access token").ExecContext(ctx, r.Access[:], code, data, millis(r.AccessToken.ExpiresAt))
		return err
	})
	if err == nil && replayed {
		return brokers.ErrReplayed
	}
	return err
}

func useRefreshToken(ctx context.Context, statement func(string) *sql.Stmt, r brokers.Refreshing) (code []byte, err error) {
	if r.Next != (brokers.Hash{}) {
		err = statement("rotate").QueryRowContext(ctx, millis(r.Now), r.Caller[:], r.Next[:], r.Old[:], millis(r.Now)).Scan(&code)
		return code, missing(err)
	}
	data, err := encode(r.NextToken)
	if err != nil {
		return nil, err
	}
	err = statement("keep refresh token").QueryRowContext(ctx, data, millis(r.NextToken.ExpiresAt), r.Old[:], millis(r.Now)).Scan(&code)
	return code, missing(err)
}

// answerAgain judges the second use of a refresh token.
func answerAgain(ctx context.Context, statement func(string) *sql.Stmt, r brokers.Refreshing) (replayed bool, err error) {
	var code, caller, successor []byte
	var usedAt int64
	var successorUsed, revoked sql.NullInt64
	row := statement("used refresh token").QueryRowContext(ctx, r.Old[:])
	if err := row.Scan(&code, &usedAt, &caller, &successor, &successorUsed, &revoked); err != nil {
		return false, missing(err)
	}
	if revoked.Valid {
		return false, brokers.ErrNotFound
	}
	if r.Retries(time.UnixMilli(usedAt)) && !successorUsed.Valid && bytes.Equal(caller, r.Caller[:]) && bytes.Equal(successor, r.Next[:]) {
		return false, nil
	}
	_, err = statement("revoke").ExecContext(ctx, millis(r.Now), code)
	return true, err
}

// RevokeByToken revokes the grant of an access or refresh token. One that is not
// there is no error.
func (d *database) RevokeByToken(ctx context.Context, token brokers.Hash, now time.Time) error {
	_, err := d.statements["revoke by token"].ExecContext(ctx, millis(now), token[:], token[:], token[:])
	return err
}
