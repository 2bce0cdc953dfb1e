package appearance

import (
	"math"
	"testing"

	"github.com/go-text/typesetting/font/opentype"
)

// A cubic curve, as fonts with CFF outlines have them, is followed within a unit.
func TestQuadraticFollowsCubicCurves(t *testing.T) {
	for _, c := range [][4]fpoint{
		{{0, 0, true}, {0, 552, true}, {448, 1000, true}, {1000, 1000, true}}, // an arc
		{{0, 0, true}, {1000, 0, true}, {0, 1000, true}, {1000, 1000, true}},  // an S
		{{0, 0, true}, {1500, 900, true}, {-500, 900, true}, {1000, 0, true}}, // a loop
		{{0, 0, true}, {10, 10, true}, {20, 20, true}, {30, 30, true}},
	} {
		pieces := quadratics(c[0], c[1], c[2], c[3])
		n := len(pieces) / 2
		pen := c[0]
		for i := range n {
			control, end := pieces[2*i], pieces[2*i+1]
			for step := range 11 {
				u := float64(step) / 10
				got := mix(mix(pen, control, u), mix(control, end, u), u)
				t1 := (float64(i) + u) / float64(n)
				x, y, z := mix(c[0], c[1], t1), mix(c[1], c[2], t1), mix(c[2], c[3], t1)
				want := mix(mix(x, y, t1), mix(y, z, t1), t1)
				if d := math.Hypot(got.x-want.x, got.y-want.y); d > 1 {
					t.Errorf("curve %v leaves by %v units", c, d)
				}
			}
			pen = end
		}
		if pen != c[3] {
			t.Errorf("ends at %v", pen)
		}
	}
	o := quadratic([]opentype.Segment{
		{Op: opentype.SegmentOpMoveTo, Args: [3]opentype.SegmentPoint{{X: 0, Y: 0}}},
		{Op: opentype.SegmentOpCubeTo, Args: [3]opentype.SegmentPoint{{X: 0, Y: 552}, {X: 448, Y: 1000}, {X: 1000, Y: 1000}}},
		{Op: opentype.SegmentOpLineTo, Args: [3]opentype.SegmentPoint{{X: 0, Y: 0}}},
	})
	if len(o.contours) != 1 || o.xMax != 1000 || o.yMax != 1000 || o.xMin != 0 || o.yMin != 0 {
		t.Errorf("outline %+v", o)
	}
}
