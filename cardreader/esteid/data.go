package esteid

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
)

// Records of the personal data file, EF 5001 to 5008 in the current DF.
const (
	recordSurname = iota + 1
	recordGivenNames
	recordSex
	recordCitizenship
	recordBirth
	recordPersonalCode
	recordDocumentNumber
	recordExpiry
)

// ReadPersonalData reads the records of the selected personal data file, which
// the cards of 2018 and 2025 have in common. A record that is not there leaves
// its field empty.
func ReadPersonalData(ctx context.Context, t apdu.Transmitter) (*cardreader.PersonalData, error) {
	records := make(map[int]string)
	for n := recordSurname; n <= recordExpiry; n++ {
		text, err := readRecord(ctx, t, n)
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", n, err)
		}
		records[n] = text
	}
	return personalData(records), nil
}

func readRecord(ctx context.Context, t apdu.Transmitter, n int) (string, error) {
	found, err := apdu.Exchange(ctx, t, apdu.Command{
		INS: insSelect, P1: selectFile, P2: noAnswer, Data: []byte{0x50, byte(n)}, Public: true,
	})
	if err != nil || found.SW == apdu.SWFileNotFound {
		return "", err
	}
	if !found.SW.OK() {
		return "", &apdu.StatusError{INS: insSelect, P1: selectFile, P2: noAnswer, SW: found.SW}
	}
	raw, err := apdu.Do(ctx, t, apdu.Command{INS: iso7816.ReadBinaryInstruction, Ne: apdu.MaxShortNe})
	if err != nil {
		return "", err
	}
	return text(raw)
}

// text takes what can be shown: UTF-8 without control and format characters,
// which could make one name look like another (threat C-31). An empty record is
// a single zero byte.
func text(raw []byte) (string, error) {
	if !utf8.Valid(raw) {
		return "", fmt.Errorf("%w: text is not UTF-8", iso7816.ErrContent)
	}
	value := strings.TrimSpace(strings.TrimRight(string(raw), "\x00"))
	for _, r := range value {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return "", fmt.Errorf("%w: text with control characters", iso7816.ErrContent)
		}
	}
	return value, nil
}

// personalData names the records. The date of birth is that of the personal
// code when the record has none; people whose day of birth is not known have
// none.
func personalData(records map[int]string) *cardreader.PersonalData {
	d := &cardreader.PersonalData{
		Surname: records[recordSurname], GivenNames: records[recordGivenNames], Sex: records[recordSex],
		Citizenship: records[recordCitizenship], PersonalCode: records[recordPersonalCode],
		DocumentNumber: records[recordDocumentNumber],
	}
	d.Expiry, _ = date(records[recordExpiry])
	d.Birthdate, d.Birthplace = date(records[recordBirth])
	if d.Birthdate == "" {
		d.Birthdate = birthdate(d.PersonalCode)
	}
	return d
}

// date turns "DD MM YYYY", with whatever follows it, into an ISO 8601 date. A
// record in another form gives neither.
func date(record string) (day, rest string) {
	const form = "02 01 2006"
	n := min(len(record), len(form))
	t, err := time.Parse(form, record[:n])
	if err != nil {
		return "", ""
	}
	return t.Format(time.DateOnly), strings.TrimSpace(record[n:])
}

// birthdate is in the first seven digits of a personal code: century and sex,
// then year, month, day (Estonian standard EVS 585). Empty for another code.
func birthdate(code string) string {
	if len(code) != 11 || code[0] < '1' || code[0] > '8' {
		return ""
	}
	century := 18 + (code[0]-'1')/2
	t, err := time.Parse("20060102", fmt.Sprintf("%d%s", century, code[1:7]))
	if err != nil {
		return ""
	}
	return t.Format(time.DateOnly)
}
