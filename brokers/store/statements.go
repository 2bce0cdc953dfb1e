package store

import (
	"slices"
	"strings"
)

const takeUp = `UPDATE transactions SET state = 'returning', taken_at = ?
	WHERE id = ? AND state = 'departed' AND awaits = ? AND expires_at > ?`

// writes and reads are the statements, each with the name under which a verb
// finds it.
func writes() [][2]string {
	return slices.Concat(loginWrites(), grantWrites(), sessionWrites(), deviceWrites(), operatorWrites(), keyWrites(), tableWrites())
}

// loginWrites are the steps of a login up to its code.
func loginWrites() [][2]string {
	return [][2]string{
		{"save transaction", `INSERT INTO transactions (id, state, revision, data, expires_at, awaits, browser) VALUES (?, ?, ?, ?, ?, ?, ?) {lazily}`},
		{"advance", `UPDATE transactions SET state = ?, revision = revision + 1, data = ? WHERE id = ? AND state = ? AND revision = ?`},
		{"advance lazily", `UPDATE transactions SET state = ?, revision = revision + 1, data = ?, awaits = ? WHERE id = ? AND state = ? AND revision = ? {lazily}`},
		{"take up read", `UPDATE transactions SET state = 'returning', taken_at = ? WHERE id = ? AND state = 'departed' AND revision = ? {lazily}`},
		{"take up", takeUp + ` RETURNING revision, data, {asynchronous}`},
		{"take up here", takeUp + ` AND browser = ? RETURNING revision, data, {asynchronous}`},
		{"push", `INSERT INTO pushed_requests (hash, data, expires_at) VALUES (?, ?, ?)`},
		{"use pushed", `DELETE FROM pushed_requests WHERE hash = ?`},
		{"use assertion", `INSERT INTO assertions (hash, expires_at) VALUES (?, ?)`},
	}
}

// grantWrites are a code and the tokens that come of it, until they are revoked.
func grantWrites() [][2]string {
	return [][2]string{
		{"insert grant", `INSERT INTO grants (code_hash, code_expires_at, session_id, data, expires_at) VALUES (?, ?, ?, ?, ?)`},
		{"redeem", `UPDATE grants SET redeemed_at = ?, token_hash = ?, token_expires_at = ?, token_data = ?,
				expires_at = CASE WHEN expires_at > ? THEN expires_at ELSE ? END
			WHERE code_hash = ? AND redeemed_at IS NULL AND revoked_at IS NULL AND code_expires_at > ? RETURNING data`},
		{"redeem in term", `UPDATE grants SET redeemed_at = ?, token_hash = ?, token_expires_at = ?, token_data = ?
			WHERE code_hash = ? AND redeemed_at IS NULL AND revoked_at IS NULL AND code_expires_at > ? AND expires_at >= ?`},
		{"revoke replayed", `UPDATE grants SET revoked_at = ? WHERE code_hash = ? AND redeemed_at IS NOT NULL RETURNING data`},
		{"revoke", `UPDATE grants SET revoked_at = ? WHERE code_hash = ?`},
		{"revoke grant", `UPDATE grants SET revoked_at = ? WHERE code_hash = ? AND revoked_at IS NULL`},
		{"revoke by token", `UPDATE grants SET revoked_at = ? WHERE token_hash = ?
			OR code_hash IN (SELECT code_hash FROM access_tokens WHERE hash = ?)
			OR code_hash IN (SELECT code_hash FROM refresh_tokens WHERE hash = ?)`},
		{"revoke of session", `UPDATE grants SET revoked_at = ? WHERE session_id = ? AND revoked_at IS NULL`},
		{"lengthen", `UPDATE grants SET expires_at = CASE WHEN expires_at > ? THEN expires_at ELSE ? END
			WHERE code_hash = ? AND revoked_at IS NULL`},
		{"insert access token", `INSERT INTO access_tokens (hash, code_hash, data, expires_at) VALUES (?, ?, ?, ?)`},
		{"insert refresh token", `INSERT INTO refresh_tokens (hash, code_hash, data, expires_at) VALUES (?, ?, ?, ?)`},
		{"rotate", `UPDATE refresh_tokens SET used_at = ?, used_by = ?, next_hash = ?
			WHERE hash = ? AND used_at IS NULL AND expires_at > ? RETURNING code_hash`},
		{"keep refresh token", `UPDATE refresh_tokens SET data = ?, expires_at = ? WHERE hash = ? AND used_at IS NULL AND expires_at > ? RETURNING code_hash`},
		{"used refresh token", `SELECT r.code_hash, r.used_at, r.used_by, r.next_hash, s.used_at, g.revoked_at
			FROM refresh_tokens r JOIN grants g ON g.code_hash = r.code_hash LEFT JOIN refresh_tokens s ON s.hash = r.next_hash
			WHERE r.hash = ? AND r.used_at IS NOT NULL`},
		{"save receipt", `INSERT INTO receipts (id, data, expires_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`},
	}
}

// sessionWrites are sessions, who takes part in them and who must hear of their end.
func sessionWrites() [][2]string {
	return [][2]string{
		{"hold session", `SELECT cookie_hash, data FROM sessions WHERE id = ? {share}`},
		{"save session", `INSERT INTO sessions (cookie_hash, id, data, expires_at) VALUES (?, ?, ?, ?)`},
		{"leave session", `DELETE FROM sessions WHERE cookie_hash = ? AND id = ?`},
		{"end session", `DELETE FROM sessions WHERE cookie_hash = ? RETURNING data`},
		{"link session", `INSERT INTO session_links (hash, session_id, expires_at) VALUES (?, ?, ?)
			ON CONFLICT (hash, session_id) DO UPDATE SET expires_at = excluded.expires_at`},
		{"linked sessions", `SELECT s.cookie_hash FROM session_links l JOIN sessions s ON s.id = l.session_id WHERE l.hash = ?`},
		{"unlink session", `DELETE FROM session_links WHERE session_id = ?`},
		{"take part", `INSERT INTO participants (session_id, client_id, data, expires_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`},
		{"end participation", `DELETE FROM participants WHERE session_id = ? RETURNING client_id, data`},
		{"forget participants", `DELETE FROM participants`},
		{"insert notice", `INSERT INTO notices (data, due_at, expires_at) VALUES (?, ?, ?)`},
		{"due notices", `UPDATE notices SET attempts = attempts + 1, due_at = ? WHERE id IN
			(SELECT id FROM notices WHERE due_at <= ? AND expires_at > ? ORDER BY due_at LIMIT ? {skip locked}) RETURNING id, attempts, data`},
		{"postpone notice", `UPDATE notices SET due_at = ? WHERE id = ?`},
		{"settle notice", `DELETE FROM notices WHERE id = ?`},
		{"forget notices", `DELETE FROM notices`},
	}
}

// deviceWrites are logins that begin on a device without a browser.
func deviceWrites() [][2]string {
	return [][2]string{
		{"save device", `INSERT INTO devices (code_hash, user_hash, state, polled_at, data, expires_at) VALUES (?, ?, 'pending', 0, ?, ?)`},
		{"take device", `UPDATE devices SET state = 'taken' WHERE user_hash = ? AND state = 'pending' AND expires_at > ? RETURNING code_hash, data`},
		{"deny device", `UPDATE devices SET state = 'denied' WHERE code_hash = ?`},
		{"poll device", `UPDATE devices SET polled_at = ? WHERE code_hash = ? RETURNING data, state`},
		{"polled", `SELECT polled_at FROM devices WHERE code_hash = ?`},
	}
}

// operatorWrites are what operators register, who holds which card key,
// what is counted against those who try too often, and the outages and bans that
// administrators declare.
func operatorWrites() [][2]string {
	return [][2]string{
		{"save client", `INSERT INTO clients (id, data) VALUES (?, ?)`},
		{"replace client", `UPDATE clients SET data = ? WHERE id = ?`},
		{"delete client", `DELETE FROM clients WHERE id = ?`},
		{"bind key", `INSERT INTO card_keys (hash, holder, expires_at) VALUES (?, ?, ?) ON CONFLICT (hash) DO UPDATE
			SET expires_at = CASE WHEN card_keys.expires_at > excluded.expires_at OR card_keys.holder <> excluded.holder
				THEN card_keys.expires_at ELSE excluded.expires_at END RETURNING holder`},
		{"forget key", `DELETE FROM card_keys WHERE hash = ?`},
		{"strike", `INSERT INTO strikes (hash, number, last_at, before_at, expires_at)
			VALUES (?, 1, ?, ?, ?) ON CONFLICT (hash) DO UPDATE SET
				number = CASE WHEN strikes.expires_at <= excluded.last_at THEN 1 ELSE strikes.number + 1 END,
				before_at = CASE WHEN strikes.expires_at <= excluded.last_at THEN excluded.last_at ELSE strikes.last_at END,
				expires_at = CASE WHEN strikes.expires_at <= excluded.last_at THEN excluded.expires_at ELSE strikes.expires_at END,
				last_at = excluded.last_at
			RETURNING hash, number, last_at, before_at, expires_at`},
		{"pardon", `UPDATE strikes SET number = number - 1 WHERE hash = ? AND number > 0`},
		{"quash", `UPDATE strikes SET expires_at = ?, last_at = ? WHERE hash = ?`},
		{"save office", `INSERT INTO office (id, data, expires_at) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE
			SET data = excluded.data, expires_at = excluded.expires_at`},
		{"delete office", `DELETE FROM office WHERE id = ?`},
	}
}

// keyWrites are keys and the epochs of the database.
func keyWrites() [][2]string {
	return [][2]string{
		{"add data key", `INSERT INTO data_keys (id, master, wrapped, created_at) VALUES (?, ?, ?, ?)`},
		{"replace data key", `UPDATE data_keys SET master = ?, wrapped = ? WHERE id = ? AND master = ?`},
		{"destroy data keys", `DELETE FROM data_keys WHERE created_at < ? AND id < (SELECT max(id) FROM data_keys)`},
		{"add signing key", `INSERT INTO signing_keys (number, data) VALUES (?, ?)`},
		{"remove signing keys", `DELETE FROM signing_keys WHERE number < ?`},
		{"see epoch", `UPDATE epochs SET seen_at = CASE WHEN seen_at > ? THEN seen_at ELSE ? END WHERE number = (SELECT max(number) FROM epochs)`},
		{"reset seen", `UPDATE epochs SET seen_at = ? WHERE number = (SELECT max(number) FROM epochs)`},
		{"begin epoch", `INSERT INTO epochs (number, begun_at, seen_at)
			SELECT CASE WHEN max(number) + 1 > ? THEN max(number) + 1 ELSE ? END, ?, ? FROM epochs RETURNING number`},
	}
}

// tableWrites are those that each table of a kind has: sealed again under another
// data key, emptied after a restored backup, purged.
func tableWrites() (list [][2]string) {
	for _, c := range sealedColumns() {
		list = append(list,
			[2]string{"records of " + c.name(), `SELECT ` + c.key + `, ` + c.revision + `, ` + c.column + ` FROM ` + c.table + ` WHERE ` + c.column + ` IS NOT NULL`},
			[2]string{"seal again " + c.name(), `UPDATE ` + c.table + ` SET ` + c.column + ` = ? WHERE ` + c.key + ` = ? AND ` + c.column + ` = ?`})
	}
	for _, table := range issuedTables() {
		list = append(list, [2]string{"empty " + table, `DELETE FROM ` + table})
	}
	for i, table := range purgedTables() {
		key := table[1]
		list = append(list, [2]string{purges()[i], `DELETE FROM ` + table[0] + ` WHERE (` + key + `) IN
			(SELECT ` + key + ` FROM ` + table[0] + ` WHERE expires_at <= ? LIMIT ? {skip locked})`})
	}
	return list
}

// compounds are those that change several tables at once: what is issued with a code,
// each part depending on the one before it.
func compounds() (list [][2]string) {
	for _, login := range []bool{false, true} {
		for _, session := range []bool{false, true} {
			list = append(list, [2]string{issueName(login, session, false), issueText(login, session, false)})
		}
		list = append(list, [2]string{issueName(login, true, true), issueText(login, true, true)})
	}
	return list
}

// issueName names the statement that issues a code, with the step of a kept login,
// with a new session, with a participant in it.
func issueName(login, session, part bool) string {
	name := "issue"
	for i, with := range []bool{login, session, part} {
		if with {
			name += [...]string{" login", " session", " part"}[i]
		}
	}
	return name
}

func issueText(login, session, part bool) string {
	var with []string
	from := ""
	add := func(name, text string) {
		with = append(with, name+" AS ("+text+from+" RETURNING 1)")
		from = " FROM " + name
	}
	if login {
		add("login", `UPDATE transactions SET state = ?, revision = revision + 1, data = ? WHERE id = ? AND state = ? AND revision = ?`)
	}
	if session {
		add("opened", `INSERT INTO sessions (cookie_hash, id, data, expires_at) SELECT ?::bytea, ?::text, ?::bytea, ?::bigint`)
	}
	if part {
		add("part", `INSERT INTO participants (session_id, client_id, data, expires_at) SELECT ?::text, ?::text, ?::bytea, ?::bigint`)
	}
	text := `INSERT INTO grants (code_hash, code_expires_at, session_id, data, expires_at) SELECT ?::bytea, ?::bigint, ?::text, ?::bytea, ?::bigint` + from
	if len(with) > 0 {
		text = "WITH " + strings.Join(with, ", ") + " " + text
	}
	return text
}

func reads() [][2]string {
	return [][2]string{
		{"transaction", `SELECT state, revision, taken_at, data FROM transactions WHERE id = ? AND expires_at > ?`},
		{"grant", `SELECT data FROM grants WHERE code_hash = ?`},
		{"first token", `SELECT code_hash, data, token_data FROM grants WHERE token_hash = ? AND token_expires_at > ? AND revoked_at IS NULL`},
		{"further token", `SELECT g.code_hash, g.data, a.data FROM access_tokens a JOIN grants g ON g.code_hash = a.code_hash
			WHERE a.hash = ? AND a.expires_at > ? AND g.revoked_at IS NULL`},
		{"refresh token", `SELECT g.code_hash, g.data, r.data, r.used_at FROM refresh_tokens r JOIN grants g ON g.code_hash = r.code_hash
			WHERE r.hash = ? AND r.expires_at > ? AND g.revoked_at IS NULL`},
		{"session", `SELECT data FROM sessions WHERE cookie_hash = ? AND expires_at > ?`},
		{"pushed", `SELECT data FROM pushed_requests WHERE hash = ? AND expires_at > ?`},
		{"device", `SELECT code_hash, data FROM devices WHERE user_hash = ? AND state = 'pending' AND expires_at > ?`},
		{"client", `SELECT data FROM clients WHERE id = ?`},
		{"clients", `SELECT id, data FROM clients WHERE id > ? ORDER BY id LIMIT ?`},
		{"data keys", `SELECT id, master, wrapped, created_at FROM data_keys ORDER BY id`},
		{"signing keys", `SELECT number, data FROM signing_keys`},
		{"struck", `SELECT hash, number, last_at, before_at, expires_at FROM strikes WHERE last_at >= ? AND number >= ? ORDER BY last_at DESC LIMIT ?`},
		{"office", `SELECT id, data FROM office WHERE id > ? AND id < ? AND expires_at > ? ORDER BY id`},
		{"schema version", `SELECT coalesce(max(version), 0) FROM schema_version`},
		{"epoch", `SELECT number, begun_at, seen_at FROM epochs ORDER BY number DESC LIMIT 1`},
		{"live sessions", `SELECT cookie_hash, data FROM sessions WHERE cookie_hash > ? AND expires_at > ? ORDER BY cookie_hash LIMIT ?`},
		{"live grants", `SELECT code_hash, data FROM grants WHERE code_hash > ? AND expires_at > ? AND revoked_at IS NULL ORDER BY code_hash LIMIT ?`},
		{"receipt", `SELECT data FROM receipts WHERE id = ? AND expires_at > ?`},
	}
}

// purgedTables are the tables whose rows expire, with the key of each. Refresh
// tokens go with their grant.
func purgedTables() [][2]string {
	return [][2]string{
		{"transactions", "id"},
		{"grants", "code_hash"},
		{"access_tokens", "hash"},
		{"assertions", "hash"},
		{"card_keys", "hash"},
		{"strikes", "hash"},
		{"sessions", "cookie_hash"},
		{"participants", "session_id"},
		{"session_links", "hash, session_id"},
		{"notices", "id"},
		{"pushed_requests", "hash"},
		{"receipts", "id"},
		{"devices", "code_hash"},
		{"office", "id"},
	}
}

// purges are the names of the statements that purge.
func purges() []string {
	var names []string
	for _, table := range purgedTables() {
		names = append(names, "purge "+table[0])
	}
	return names
}
