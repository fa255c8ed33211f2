//! Every operation on the curve, counted where all of them pass: at the border to libsecp256k1, whichever crate asks.
//!
//! The linker replaces each function of libsecp256k1 that works on points by a wrapper that counts (see `build.rs`, and
//! `functions.txt` for the list). What works on scalars, hashes or bytes alone is cheap and not counted.

use std::cell::Cell;

/// How often each kind of operation was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Signatures made.
    pub signs: u32,
    /// Signatures checked.
    pub verifies: u32,
    /// Keys recovered from a signature: `a·P + b·G`.
    pub recovers: u32,
    /// Points made from a secret: `a·G`.
    pub creates: u32,
    /// Points multiplied: `a·P`.
    pub multiplications: u32,
    /// Multiples of the generator added: `P + a·G`.
    pub additions: u32,
    /// Points added to each other.
    pub combinations: u32,
    /// Secrets shared with a point.
    pub ecdhs: u32,
    /// Points read from their 33 bytes: a square root each.
    pub parses: u32,
    /// Anything else on the curve.
    pub others: u32,
}

thread_local! {
    /// Of this thread alone: tests run beside each other.
    static COUNTS: Cell<Counts> = Cell::new(Counts::default());
}

/// What `work` asks of the curve.
pub fn count(work: impl FnOnce()) -> Counts {
    COUNTS.set(Counts::default());
    work();
    COUNTS.get()
}

fn add(counter: fn(&mut Counts) -> &mut u32) {
    let mut counts = COUNTS.get();
    *counter(&mut counts) += 1;
    COUNTS.set(counts);
}

/// One wrapper for each function. None of them has more than six arguments, all of the size of a register or less, so
/// that the wrappers need not know them.
macro_rules! wrap {
    ($($function:ident $wrapper:literal $real:literal $counter:ident;)*) => {
        $(
            // Wrapping a foreign function is unsafe by its nature; each call is passed on unchanged.
            #[allow(unsafe_code)]
            mod $function {
                unsafe extern "C" {
                    #[link_name = $real]
                    fn real(a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> i32;
                }

                #[unsafe(export_name = $wrapper)]
                unsafe extern "C" fn wrapper(a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> i32 {
                    super::add(|counts| &mut counts.$counter);
                    unsafe { real(a, b, c, d, e, f) }
                }
            }
        )*
    };
}

wrap! {
    ec_pubkey_combine "__wrap_rustsecp256k1_v0_10_0_ec_pubkey_combine" "__real_rustsecp256k1_v0_10_0_ec_pubkey_combine" combinations;
    ec_pubkey_create "__wrap_rustsecp256k1_v0_10_0_ec_pubkey_create" "__real_rustsecp256k1_v0_10_0_ec_pubkey_create" creates;
    ec_pubkey_parse "__wrap_rustsecp256k1_v0_10_0_ec_pubkey_parse" "__real_rustsecp256k1_v0_10_0_ec_pubkey_parse" parses;
    ec_pubkey_tweak_add "__wrap_rustsecp256k1_v0_10_0_ec_pubkey_tweak_add" "__real_rustsecp256k1_v0_10_0_ec_pubkey_tweak_add" additions;
    ec_pubkey_tweak_mul "__wrap_rustsecp256k1_v0_10_0_ec_pubkey_tweak_mul" "__real_rustsecp256k1_v0_10_0_ec_pubkey_tweak_mul" multiplications;
    ecdh "__wrap_rustsecp256k1_v0_10_0_ecdh" "__real_rustsecp256k1_v0_10_0_ecdh" ecdhs;
    ecdsa_recover "__wrap_rustsecp256k1_v0_10_0_ecdsa_recover" "__real_rustsecp256k1_v0_10_0_ecdsa_recover" recovers;
    ecdsa_sign "__wrap_rustsecp256k1_v0_10_0_ecdsa_sign" "__real_rustsecp256k1_v0_10_0_ecdsa_sign" signs;
    ecdsa_sign_recoverable "__wrap_rustsecp256k1_v0_10_0_ecdsa_sign_recoverable" "__real_rustsecp256k1_v0_10_0_ecdsa_sign_recoverable" signs;
    ecdsa_verify "__wrap_rustsecp256k1_v0_10_0_ecdsa_verify" "__real_rustsecp256k1_v0_10_0_ecdsa_verify" verifies;
    ellswift_create "__wrap_rustsecp256k1_v0_10_0_ellswift_create" "__real_rustsecp256k1_v0_10_0_ellswift_create" others;
    ellswift_decode "__wrap_rustsecp256k1_v0_10_0_ellswift_decode" "__real_rustsecp256k1_v0_10_0_ellswift_decode" others;
    ellswift_xdh "__wrap_rustsecp256k1_v0_10_0_ellswift_xdh" "__real_rustsecp256k1_v0_10_0_ellswift_xdh" others;
    keypair_create "__wrap_rustsecp256k1_v0_10_0_keypair_create" "__real_rustsecp256k1_v0_10_0_keypair_create" creates;
    keypair_xonly_tweak_add "__wrap_rustsecp256k1_v0_10_0_keypair_xonly_tweak_add" "__real_rustsecp256k1_v0_10_0_keypair_xonly_tweak_add" additions;
    schnorrsig_sign "__wrap_rustsecp256k1_v0_10_0_schnorrsig_sign" "__real_rustsecp256k1_v0_10_0_schnorrsig_sign" signs;
    schnorrsig_sign_custom "__wrap_rustsecp256k1_v0_10_0_schnorrsig_sign_custom" "__real_rustsecp256k1_v0_10_0_schnorrsig_sign_custom" signs;
    schnorrsig_verify "__wrap_rustsecp256k1_v0_10_0_schnorrsig_verify" "__real_rustsecp256k1_v0_10_0_schnorrsig_verify" verifies;
    xonly_pubkey_parse "__wrap_rustsecp256k1_v0_10_0_xonly_pubkey_parse" "__real_rustsecp256k1_v0_10_0_xonly_pubkey_parse" parses;
    xonly_pubkey_tweak_add "__wrap_rustsecp256k1_v0_10_0_xonly_pubkey_tweak_add" "__real_rustsecp256k1_v0_10_0_xonly_pubkey_tweak_add" additions;
    xonly_pubkey_tweak_add_check "__wrap_rustsecp256k1_v0_10_0_xonly_pubkey_tweak_add_check" "__real_rustsecp256k1_v0_10_0_xonly_pubkey_tweak_add_check" additions;
}
