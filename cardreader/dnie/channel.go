package dnie

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/eidbridge/eidbridge/cardreader"
	"github.com/eidbridge/eidbridge/cardreader/apdu"
	"github.com/eidbridge/eidbridge/cardreader/cwa14890"
	"github.com/eidbridge/eidbridge/cardreader/iso7816"
	"github.com/eidbridge/eidbridge/cardreader/pace"
	"github.com/eidbridge/eidbridge/cardreader/securemessaging"
)

// channel is the CWA 14890 channel of a connection, if any. It is given up by
// the first answer that is not authentic.
type channel struct {
	secured *securemessaging.Channel // nil while there is none
	role    cwa14890.Role
	proof   proof
	set     *cwa14890.KeySet
}

func (c channel) open() bool { return c.secured != nil }

// proof is a chip whose chain leads to a root.
type proof struct {
	chip   *cwa14890.Chip
	serial serial
	root   *rsa.PublicKey
}

// start brings the card to its Master File with no channel, or under PACE for a
// contactless one. A card in which someone left a channel open refuses the first
// command in clear and closes it; that command is sent once more.
func (c *card) start(ctx context.Context) error {
	c.transport, c.channel, c.at = c.raw, channel{}, nil
	begin := c.selectMaster
	if c.bound.model.contactless {
		begin = c.pace
	}
	err := begin(ctx)
	if leftOpen(err) {
		err = begin(ctx)
	}
	if err == nil && c.bound.model.contactless {
		err = c.selectMaster(ctx)
	}
	var status *apdu.StatusError
	if errors.As(err, &status) && status.INS == iso7816.Select {
		return fmt.Errorf("%w: no Master File: %w", cardreader.ErrCardUnsupported, err)
	}
	return err
}

// What a card answers to a command that breaks the rules of its open channel.
const (
	swObjectsMissing apdu.StatusWord = 0x6987
	swObjectsWrong   apdu.StatusWord = 0x6988
	swChecksumWrong  apdu.StatusWord = 0x6688
)

// Leave sends one command in clear, which the card refuses and closes its channel
// with: other programs begin in clear.
func (c *card) Leave(ctx context.Context) {
	if c.transport == c.raw {
		return
	}
	c.transport, c.channel = c.raw, channel{}
	_ = c.selectMaster(ctx)
}

// leftOpen is the refusal of the first command: of SELECT, or of MSE SET before
// PACE, which is no guess at the number yet.
func leftOpen(err error) bool {
	var status *apdu.StatusError
	if !errors.As(err, &status) || (status.INS != iso7816.Select && status.INS != iso7816.ManageSecurity) {
		return false
	}
	switch status.SW {
	case swObjectsMissing, swObjectsWrong, swChecksumWrong, apdu.SWSecurityNotSatisfied, apdu.SWConditionsOfUse:
		return true
	default:
		return false
	}
}

// pace opens the contactless card with its access number. A number that the card
// refused is forgotten and never sent again.
func (c *card) pace(ctx context.Context) error {
	number, err := c.bound.accessNumber()
	if err != nil {
		return err
	}
	password, err := pace.CAN(number)
	if err != nil {
		return err
	}
	options := pace.Options{
		Info: pace.DNIe(), Password: password, AcceptLastTry: c.bound.AcceptLastAccessNumber, Rand: c.bound.Rand,
	}
	secured, err := pace.Establish(ctx, c.raw, options)
	if errors.Is(err, pace.ErrUnsupported) {
		// Nothing was guessed yet. The card may list another variant.
		if options.Info, err = c.variant(ctx); err == nil {
			secured, err = pace.Establish(ctx, c.raw, options)
		}
	}
	if err != nil {
		c.bound.spend(err)
		return fmt.Errorf("opening the contactless card: %w", err)
	}
	c.transport = secured
	return nil
}

// variant reads what EF.CardAccess offers.
func (c *card) variant(ctx context.Context) (pace.Info, error) {
	file, err := c.read(ctx, pathCardAccess(), maxCardAccess, nil)
	if err != nil {
		return pace.Info{}, fmt.Errorf("EF.CardAccess: %w", err)
	}
	offered, err := pace.ParseCardAccess(file)
	if err != nil {
		return pace.Info{}, fmt.Errorf("%w: %w", cardreader.ErrCardProtocol, err)
	}
	return pace.Choose(offered)
}

// secure makes sure that the channel is open in which the card takes the PIN.
func (c *card) secure(ctx context.Context) error {
	if c.channel.open() {
		if c.channel.role == c.pinRole() {
			return nil
		}
		if err := c.start(ctx); err != nil {
			return err
		}
	}
	p, err := c.prove(ctx)
	if err != nil {
		return err
	}
	sets, err := c.terminals(ctx, p)
	if err != nil {
		return err
	}
	if err := c.toMaster(ctx); err != nil {
		return err
	}
	err = fmt.Errorf("%w: no terminal keys are configured", cwa14890.ErrGeneration)
	for _, set := range sets {
		if err = c.establish(ctx, p, set, c.pinRole()); !errors.Is(err, cwa14890.ErrGeneration) {
			break
		}
	}
	if err == nil {
		c.adopt()
	}
	return err
}

// terminals are the key sets in the order of trying: the one that the chip took
// before, or all, which the card's number helps to sort.
func (c *card) terminals(ctx context.Context, p proof) ([]*cwa14890.KeySet, error) {
	if known := c.bound.memory(); known.set != nil && known.proof.chip == p.chip {
		return []*cwa14890.KeySet{known.set}, nil
	}
	number, err := c.readIDESP(ctx)
	if err != nil {
		return nil, err
	}
	return c.bound.keySets(p.root, number)
}

// pinRole is the terminal whose channel takes the PIN: DNIe 1.x and 2.0 have one
// channel for all.
func (c *card) pinRole() cwa14890.Role {
	if c.bound.model.old {
		return cwa14890.RoleUser
	}
	return cwa14890.RolePIN
}

// establish runs the handshake, inside of the channel that is open, and puts the
// new channel in its place.
func (c *card) establish(ctx context.Context, p proof, set *cwa14890.KeySet, role cwa14890.Role) error {
	terminal, err := set.Terminal(role)
	if err != nil {
		return err
	}
	secured, err := cwa14890.Establish(ctx, c.transport, cwa14890.Options{
		Chip: p.chip, Serial: p.serial, Terminal: terminal, MACLength: c.bound.model.macLength(), Rand: c.bound.Rand,
	})
	if err != nil {
		return untrusted(fmt.Errorf("opening the secure channel: %w", err))
	}
	c.transport, c.channel = secured, channel{secured: secured, role: role, proof: p, set: set}
	return nil
}

// untrusted gives a chip that proved nothing the error that programs know.
func untrusted(err error) error {
	if errors.Is(err, cwa14890.ErrUntrusted) {
		return fmt.Errorf("%w: %w", cardreader.ErrCardUntrusted, err)
	}
	return err
}

// prove reads the chip's number and, unless it is the one that proved itself
// before, its certificates. Only a chain that leads to a root is a proof; that
// the chip has the key too shows in the handshake.
func (c *card) prove(ctx context.Context) (proof, error) {
	if len(c.bound.Roots) == 0 {
		return proof{}, fmt.Errorf("%w: %w", cardreader.ErrCardUntrusted, ErrNoRoot)
	}
	number, err := c.readSerial(ctx)
	if err != nil {
		return proof{}, err
	}
	if known := c.bound.memory(); known.proof.chip != nil && known.proof.serial == number {
		return known.proof, nil
	}
	intermediate, err := c.readComponent(ctx, pathIntermediate())
	if err != nil {
		return proof{}, fmt.Errorf("intermediate certificate of the chip: %w", err)
	}
	own, err := c.readComponent(ctx, pathChip())
	if err != nil {
		return proof{}, fmt.Errorf("certificate of the chip: %w", err)
	}
	now := c.bound.Now
	if now == nil {
		now = time.Now
	}
	for _, root := range c.bound.Roots {
		var chip *cwa14890.Chip
		if chip, err = (cwa14890.Trust{Root: root, Now: now}).VerifyChip(intermediate, own); err == nil {
			return proof{chip: chip, serial: number, root: root}, nil
		}
	}
	return proof{}, untrusted(err)
}

// readComponent reads one of the chip's certificates, DER.
func (c *card) readComponent(ctx context.Context, p path) ([]byte, error) {
	file, err := c.read(ctx, p, maxComponent, nil)
	if err != nil {
		return nil, err
	}
	return plain(file)
}

// adopt remembers what was read on this connection as the proved chip's.
func (c *card) adopt() {
	if !c.channel.open() {
		return
	}
	c.bound.mu.Lock()
	defer c.bound.mu.Unlock()
	known := &c.bound.known
	if known.proof.chip != c.channel.proof.chip {
		*known = identity{proof: c.channel.proof, credentials: make(map[string]credential)}
	}
	known.set = c.channel.set
	if c.idesp != nil {
		known.idesp = *c.idesp
	}
	maps.Copy(known.credentials, c.credentials)
}
