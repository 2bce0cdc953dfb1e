package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/eidbridge/eidbridge/brokers"
)

// IssueCode advances the login, uses up its pushed request, opens or renews the
// session, stores the grant behind the code and notes who takes part in the
// session: all or nothing.
func (d *database) IssueCode(ctx context.Context, i *brokers.Issuing) error {
	rows, err := d.issued(i)
	if err != nil {
		return err
	}
	session := ""
	if i.Session != nil {
		session = i.Session.ID
	}
	if d.dialect.compound && i.Login.Pushed == (brokers.Hash{}) && i.Renews == (brokers.Hash{}) && i.Grant.Session == session {
		name := issueName(rows.login != nil, rows.session != nil, rows.participant != nil)
		err = changed(d.exec(ctx, name, slices.Concat(rows.login, rows.session, rows.participant, rows.grant)...))
		return d.instead(err, brokers.ErrConflict)
	}
	err = d.write(ctx, several, func(ctx context.Context, statement statements) error { return d.issue(ctx, statement, i, rows) })
	return d.instead(err, brokers.ErrConflict)
}

// issuedRows are the values of what is written with a code; nil is nothing.
type issuedRows struct {
	login, session, participant, grant []any
}

func (d *database) issued(i *brokers.Issuing) (rows issuedRows, err error) {
	t, g := i.Login, i.Grant
	if !t.Unkept {
		login, err := d.sealTransaction(t, t.Revision+1)
		if err != nil {
			return rows, err
		}
		rows.login = []any{string(t.State), login, t.ID, string(i.From), t.Revision}
	}
	grant, err := d.seal(g, "grants.data", i.Code[:])
	if err != nil {
		return rows, err
	}
	rows.grant = []any{i.Code[:], millis(g.CodeExpiresAt), nullable(g.Session), grant, millis(i.Until())}
	if i.Session == nil {
		return rows, nil
	}
	session, err := d.seal(i.Session, "sessions.data", i.Session.CookieHash[:])
	rows.session = []any{i.Session.CookieHash[:], i.Session.ID, session, millis(i.Session.ExpiresAt)}
	if err != nil || !i.Participates {
		return rows, err
	}
	part, err := d.seal(participant(g), "participants.data", participantKey(g.Session, g.Request.ClientID))
	rows.participant = []any{g.Session, g.Request.ClientID, part, millis(i.Session.ExpiresAt)}
	return rows, err
}

// issue writes it all, one statement after the other.
func (d *database) issue(ctx context.Context, statement statements, i *brokers.Issuing, rows issuedRows) error {
	if rows.login != nil {
		if err := changed(statement("advance").ExecContext(ctx, rows.login...)); err != nil {
			return err
		}
	}
	if i.Login.Pushed != (brokers.Hash{}) {
		if err := changed(statement("use pushed").ExecContext(ctx, i.Login.Pushed[:])); err != nil {
			return err
		}
	}
	if i.Renews != (brokers.Hash{}) {
		if err := changed(statement("leave session").ExecContext(ctx, i.Renews[:], i.Session.ID)); err != nil {
			return err
		}
	}
	if i.Session != nil {
		if _, err := statement("save session").ExecContext(ctx, rows.session...); err != nil {
			return err
		}
	}
	if i.Grant.Session != "" && (i.Participates || i.Session == nil) {
		if err := d.takePart(ctx, statement, i, rows.participant); err != nil {
			return err
		}
	}
	_, err := statement("insert grant").ExecContext(ctx, rows.grant...)
	return err
}

// takePart notes a client in a session, which must not have ended.
func (d *database) takePart(ctx context.Context, statement statements, i *brokers.Issuing, row []any) error {
	g := i.Grant
	if row == nil {
		var cookie, held []byte
		err := statement("hold session").QueryRowContext(ctx, g.Session).Scan(&cookie, &held)
		if errors.Is(err, sql.ErrNoRows) {
			return brokers.ErrConflict
		}
		if err != nil {
			return err
		}
		session, err := unseal[brokers.Session](ctx, d, held, "sessions.data", cookie)
		if err != nil {
			return err
		}
		data, err := d.seal(participant(g), "participants.data", participantKey(g.Session, g.Request.ClientID))
		if err != nil {
			return err
		}
		row = []any{g.Session, g.Request.ClientID, data, millis(session.ExpiresAt)}
	}
	if !i.Participates {
		return nil
	}
	_, err := statement("take part").ExecContext(ctx, row...)
	return err
}

// RedeemCode turns a code into a token, once. A second time revokes the grant.
func (d *database) RedeemCode(ctx context.Context, code, access brokers.Hash, token brokers.Token, now time.Time) (*brokers.Grant, error) {
	data, err := d.seal(token, "grants.token_data", code[:])
	if err != nil {
		return nil, err
	}
	end := millis(token.ExpiresAt)
	if d.dialect.readFirst {
		g, err := d.redeem(ctx, code, access, data, end, now)
		if !errors.Is(err, brokers.ErrConflict) {
			return g, err
		}
	}
	g, err := returning[brokers.Grant](ctx, d, "grants.data", code[:], "redeem", millis(now), access[:], end, data, end, end, code[:], millis(now))
	if !errors.Is(err, brokers.ErrNotFound) {
		return g, err
	}
	g, err = returning[brokers.Grant](ctx, d, "grants.data", code[:], "revoke replayed", millis(now), code[:])
	if err != nil {
		return nil, err
	}
	return g, brokers.ErrReplayed
}

// redeem turns a code into a token as most are, in the term of its grant;
// ErrConflict leaves it to RedeemCode. The record of a grant never changes, so it may
// be read before, beside other writings.
func (d *database) redeem(ctx context.Context, code, access brokers.Hash, token []byte, end int64, now time.Time) (*brokers.Grant, error) {
	g, err := one[brokers.Grant](ctx, d, d.statements["grant"].QueryRowContext(ctx, code[:]), "grants.data", code[:])
	if err != nil {
		return nil, err
	}
	return g, changed(d.exec(ctx, "redeem in term", millis(now), access[:], end, token, code[:], millis(now), end))
}

// AccessToken loads a live access token and what it stands for.
func (d *database) AccessToken(ctx context.Context, access brokers.Hash, now time.Time) (*brokers.Grant, *brokers.Token, error) {
	g, token, err := d.pair(ctx, d.statements["first token"].QueryRowContext(ctx, access[:], millis(now)), "grants.token_data", nil)
	if errors.Is(err, brokers.ErrNotFound) {
		return d.pair(ctx, d.statements["further token"].QueryRowContext(ctx, access[:], millis(now)), "access_tokens.data", access[:])
	}
	return g, token, err
}

// pair reads the key and blob of a grant, the blob of a token, and what comes
// after them. The key of the token is nil where it lies in the row of the grant.
func (d *database) pair(ctx context.Context, row *sql.Row, column string, key []byte, more ...any) (*brokers.Grant, *brokers.Token, error) {
	var code, grant, token []byte
	if err := row.Scan(append([]any{&code, &grant, &token}, more...)...); err != nil {
		return nil, nil, missing(err)
	}
	g, err := unseal[brokers.Grant](ctx, d, grant, "grants.data", code)
	if err != nil {
		return nil, nil, err
	}
	if key == nil {
		key = code
	}
	t, err := unseal[brokers.Token](ctx, d, token, column, key)
	return g, t, err
}

// SaveRefreshToken adds the first refresh token to the grant of a code that was
// redeemed; ErrNotFound if it has been revoked.
func (d *database) SaveRefreshToken(ctx context.Context, code, refresh brokers.Hash, token brokers.Token) error {
	return d.write(ctx, several, func(ctx context.Context, statement statements) error {
		return d.addRefreshToken(ctx, statement, code[:], refresh, token)
	})
}

// addRefreshToken lengthens the life of the grant, which locks it, and adds the
// token.
func (d *database) addRefreshToken(ctx context.Context, statement statements, code []byte, refresh brokers.Hash, token brokers.Token) error {
	data, err := d.seal(token, "refresh_tokens.data", refresh[:])
	if err != nil {
		return err
	}
	if err := lengthen(ctx, statement, code, token.ExpiresAt); err != nil {
		return err
	}
	_, err = statement("insert refresh token").ExecContext(ctx, refresh[:], code, data, millis(token.ExpiresAt))
	return err
}

func lengthen(ctx context.Context, statement statements, code []byte, end time.Time) error {
	err := changed(statement("lengthen").ExecContext(ctx, millis(end), millis(end), code))
	if errors.Is(err, brokers.ErrConflict) {
		return brokers.ErrNotFound
	}
	return err
}

// RefreshToken loads a refresh token, used or not, whose grant was not revoked.
func (d *database) RefreshToken(ctx context.Context, refresh brokers.Hash, now time.Time) (*brokers.Grant, *brokers.Token, error) {
	var usedAt sql.NullInt64
	g, token, err := d.pair(ctx, d.statements["refresh token"].QueryRowContext(ctx, refresh[:], millis(now)), "refresh_tokens.data", refresh[:], &usedAt)
	if err == nil {
		token.Used = usedAt.Valid
	}
	return g, token, err
}

// Refresh uses a refresh token. A second use outside the grace revokes the
// grant and is ErrReplayed.
func (d *database) Refresh(ctx context.Context, r brokers.Refreshing) error {
	replayed := false
	err := d.write(ctx, several, func(ctx context.Context, statement statements) error {
		code, err := d.useRefreshToken(ctx, statement, r)
		if errors.Is(err, brokers.ErrNotFound) {
			replayed, err = answerAgain(ctx, statement, r)
			return err
		}
		if err != nil {
			return err
		}
		data, err := d.seal(r.AccessToken, "access_tokens.data", r.Access[:])
		if err != nil {
			return err
		}
		if r.Next != (brokers.Hash{}) {
			err = d.addRefreshToken(ctx, statement, code, r.Next, r.NextToken)
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

func (d *database) useRefreshToken(ctx context.Context, statement statements, r brokers.Refreshing) (code []byte, err error) {
	if r.Next != (brokers.Hash{}) {
		err = statement("rotate").QueryRowContext(ctx, millis(r.Now), r.Caller[:], r.Next[:], r.Old[:], millis(r.Now)).Scan(&code)
		return code, missing(err)
	}
	data, err := d.seal(r.NextToken, "refresh_tokens.data", r.Old[:])
	if err != nil {
		return nil, err
	}
	err = statement("keep refresh token").QueryRowContext(ctx, data, millis(r.NextToken.ExpiresAt), r.Old[:], millis(r.Now)).Scan(&code)
	return code, missing(err)
}

// answerAgain judges the second use of a refresh token.
func answerAgain(ctx context.Context, statement statements, r brokers.Refreshing) (replayed bool, err error) {
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
	_, err := d.exec(ctx, "revoke by token", millis(now), token[:], token[:], token[:])
	return err
}
