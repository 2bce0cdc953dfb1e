package dnie

import (
	"testing"
)

func TestAnswersToReset(t *testing.T) {
	for text, want := range map[string]*model{
		// Published samples: 2.0, 3.0, newer, damaged, contactless of two kinds.
		"3B7F380000006A444E496510024C340113039000": {old: true},
		"3B7F960000006A444E4965100101550421039000": {},
		"3B7F960000006A444E4965200101550421039000": {},
		"3B7F960000006A444E49651001015504210F6581": {damaged: true},
		"3B888001E1F35E117781A10003":               {contactless: true},
		"3B8C800150FFFFFFFFE1F35E1177810000":       {contactless: true},
		// Others.
		"3B7F960000006A444E4965100101550421":           nil,
		"3B7F960000006A444E496510010155042103900000":   nil,
		"3B7F960000006A444E4965100101550421039001":     nil,
		"3B7F960000006A444E4966100101550421039000":     nil,
		"3BDB960080B1FE451F830012233F536549440F9000F1": nil,
		"3B888001E1F35E117781A101":                     nil,
		"":                                             nil,
		"3B":                                           nil,
		"3B7F960000006A444E49651001015504210390003B7F960000006A444E4965100101550421039000": nil,
	} {
		atr := unhex(t, text)
		got, ok := parseATR(atr)
		if ok != (want != nil) || ok && got != *want {
			t.Errorf("%s: %+v, %v", text, got, ok)
		}
		if (Driver{}).Matches(atr) != (want != nil) {
			t.Errorf("%s: Matches is %v", text, want == nil)
		}
	}
	if (model{old: true}).macLength() != 4 || (model{}).macLength() != 8 {
		t.Error("MAC length does not follow the version")
	}
}
