//! Reading an invoice (BOLT 11, tagged fields: requirements for readers).

use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, SECP256K1};

use super::format::{HOP_BYTES, SIGNATURE_SYMBOLS, TIMESTAMP_SYMBOLS, digest, tag};
use super::*;
use super::{amount, symbols};

/// Symbols of a hash or secret: 256 bits.
const HASH_SYMBOLS: usize = 52;
/// Symbols of a node id: 264 bits.
const NODE_ID_SYMBOLS: usize = 53;

impl Invoice<Signed> {
    /// Reads an invoice that this node is able to pay.
    ///
    /// BOLT 11, field `9`: whoever finds a compulsory feature that he does not know must not pay. To show such an
    /// invoice all the same, see [`Invoice::read`].
    pub fn parse(text: &str) -> Result<Invoice, InvoiceError> {
        let invoice = Invoice::read(text)?;
        match unknown_feature(&invoice.features) {
            None => Ok(invoice),
            Some(bit) => Err(InvoiceError::UnknownFeature { bit }),
        }
    }

    /// Reads and verifies an invoice, whatever features it asks for, in either case, with or without `lightning:` in
    /// front. Costs one recovery, or one verification where the payee is named.
    pub fn read(text: &str) -> Result<Invoice, InvoiceError> {
        let Opened { currency, amount, prefix, data, fields, payment_hash } = Opened::read(text)?;
        let (signed, signature) = data.split_at(data.len() - SIGNATURE_SYMBOLS);
        let timestamp = &signed[..TIMESTAMP_SYMBOLS];

        let missing = |tag, holds| InvoiceError::MissingField { tag, holds };
        let payment_secret = fields.payment_secret.ok_or(missing('s', "the payment secret"))?;
        let description = match (fields.description, fields.description_hash) {
            (Some(text), None) => Description::Text(text),
            (None, Some(hash)) => Description::Hash(hash),
            (None, None) => return Err(missing('d', "the description, or h, its hash")),
            (Some(_), Some(_)) => return Err(InvoiceError::TwoDescriptions),
        };
        let (signature, payee) = verify(&prefix, signed, signature, fields.payee)?;
        Ok(Invoice {
            currency,
            amount,
            timestamp_s: symbols::to_number(timestamp).expect("35 bits"),
            payment_hash,
            payment_secret: PaymentSecret(payment_secret),
            description,
            payee,
            names_payee: fields.payee.is_some(),
            expiry_s: fields.expiry_s.unwrap_or(DEFAULT_EXPIRY_S),
            min_final_cltv_expiry_delta: fields
                .min_final_cltv_expiry_delta
                .unwrap_or(DEFAULT_MIN_FINAL_CLTV_EXPIRY_DELTA),
            fallbacks: fields.fallbacks,
            route_hints: fields.route_hints,
            metadata: fields.metadata,
            features: fields.features.unwrap_or_default(),
            signature,
        })
    }

    /// The payment hash alone, whoever signed the invoice: enough to find out whether it was paid before, and without
    /// an operation on the curve.
    pub fn payment_hash_of(text: &str) -> Result<PaymentHash, InvoiceError> {
        Opened::read(text).map(|opened| opened.payment_hash)
    }

    /// As [`Invoice::parse`], and refuses an invoice for another chain.
    pub fn parse_for(text: &str, ours: Network) -> Result<Invoice, InvoiceError> {
        let invoice = Invoice::parse(text)?;
        match invoice.currency {
            currency if currency == ours => Ok(invoice),
            currency => Err(InvoiceError::WrongNetwork { invoice: currency, ours }),
        }
    }
}

/// An invoice taken apart, and not believed yet.
struct Opened {
    currency: Network,
    amount: Option<Msat>,
    prefix: String,
    /// Timestamp, fields and signature, without the checksum.
    data: Vec<u8>,
    fields: Fields,
    payment_hash: PaymentHash,
}

impl Opened {
    fn read(text: &str) -> Result<Opened, InvoiceError> {
        let text = text.trim();
        let text = match text.split_at_checked("lightning:".len()) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("lightning:") => rest,
            _ => text,
        };
        let (prefix, mut data) = split(text)?;
        let (currency, amount) = read_currency(&prefix)?;
        let length = symbols::strip_checksum(&prefix, &data).ok_or(InvoiceError::Checksum)?.len();
        data.truncate(length);
        let amount = amount::parse(amount)?;
        let minimum = TIMESTAMP_SYMBOLS + SIGNATURE_SYMBOLS;
        if length < minimum {
            return Err(InvoiceError::TooShort { symbols: length, minimum });
        }
        let fields = Fields::read(&data[TIMESTAMP_SYMBOLS..length - SIGNATURE_SYMBOLS])?;
        let missing = InvoiceError::MissingField { tag: 'p', holds: "the payment hash" };
        let payment_hash = PaymentHash(fields.payment_hash.ok_or(missing)?);
        Ok(Opened { currency, amount, prefix, data, fields, payment_hash })
    }
}

/// What this node knows to do when it pays an invoice.
const PAYER_KNOWS: [Feature; 4] =
    [Feature::VarOnionOptin, Feature::PaymentSecret, Feature::BasicMpp, Feature::PaymentMetadata];

/// The first compulsory bit of none of these.
fn unknown_feature(features: &Features) -> Option<usize> {
    let known = |bit: usize| Feature::of_bit(bit).is_some_and(|feature| PAYER_KNOWS.contains(&feature));
    features.bits().find(|bit| bit % 2 == 0 && !known(*bit))
}

/// Splits at the last `1`, into the prefix in lower case and the symbols.
fn split(text: &str) -> Result<(String, Vec<u8>), InvoiceError> {
    let (prefix, data) = text.rsplit_once('1').ok_or(InvoiceError::NoSeparator)?;
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) && text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(InvoiceError::MixedCase);
    }
    let position = prefix.chars().count() + 1;
    let data = data.chars().enumerate().map(|(index, character)| {
        let error = InvoiceError::Character { character, position: position + index };
        symbols::from_char(character).ok_or(error)
    });
    Ok((prefix.to_ascii_lowercase(), data.collect::<Result<_, _>>()?))
}

/// The currency, which ends at the first digit, and what follows it.
fn read_currency(prefix: &str) -> Result<(Network, &str), InvoiceError> {
    let letters = prefix.find(|c: char| c.is_ascii_digit()).unwrap_or(prefix.len());
    let (name, amount) = prefix.split_at(letters);
    let name = name.strip_prefix("ln");
    let currency = Network::ALL.into_iter().find(|network| name == Some(currency_prefix(*network)));
    // An amount cannot be without a digit, so one that has lost it looks like a currency and is not known.
    currency.map(|currency| (currency, amount)).ok_or_else(|| InvoiceError::Prefix { prefix: prefix.to_owned() })
}

/// The fields, as they came.
#[derive(Default)]
struct Fields {
    payment_hash: Option<[u8; 32]>,
    payment_secret: Option<[u8; 32]>,
    description: Option<String>,
    description_hash: Option<[u8; 32]>,
    payee: Option<NodeId>,
    expiry_s: Option<u64>,
    min_final_cltv_expiry_delta: Option<u32>,
    fallbacks: Vec<Fallback>,
    route_hints: Vec<Vec<RouteHintHop>>,
    metadata: Option<Vec<u8>>,
    features: Option<Features>,
}

impl Fields {
    fn read(mut rest: &[u8]) -> Result<Fields, InvoiceError> {
        let mut fields = Fields::default();
        while let [tag, high, low, after @ ..] = rest {
            let claimed = usize::from(*high) * 32 + usize::from(*low);
            let (value, next) = after.split_at_checked(claimed).ok_or(InvoiceError::FieldTooLong {
                tag: tag::letter(*tag),
                claimed,
                left: after.len(),
            })?;
            fields.set(*tag, value)?;
            rest = next;
        }
        match rest.len() {
            0 => Ok(fields),
            symbols => Err(InvoiceError::TrailingSymbols { symbols }),
        }
    }

    /// Of a repeated field the first counts, because BOLT 11 has writers put the preferred one first.
    ///
    /// BOLT 11 wants an invoice refused whose p, h, s or n has a wrong length, but one of its valid examples has such
    /// fields and says that they are ignored. Core Lightning, lnd, LDK and eclair all ignore them, and so does this
    /// reader. Nor does any of them refuse numbers with leading zeros in x, c and 9.
    fn set(&mut self, tag: u8, value: &[u8]) -> Result<(), InvoiceError> {
        match tag {
            tag::PAYMENT_HASH => first(&mut self.payment_hash, hash(value)),
            tag::PAYMENT_SECRET => first(&mut self.payment_secret, hash(value)),
            tag::DESCRIPTION_HASH => first(&mut self.description_hash, hash(value)),
            tag::PAYEE => first(&mut self.payee, node_id(value)),
            tag::DESCRIPTION => {
                let bad = |_| InvoiceError::FieldValue { tag: 'd', expected: "UTF-8 text" };
                first(&mut self.description, Some(String::from_utf8(symbols::to_bytes(value)).map_err(bad)?));
            }
            tag::EXPIRY => {
                let bad = InvoiceError::FieldValue { tag: 'x', expected: "a number of seconds below 2^64" };
                first(&mut self.expiry_s, Some(symbols::to_number(value).ok_or(bad)?));
            }
            tag::MIN_FINAL_CLTV_EXPIRY_DELTA => {
                let bad = InvoiceError::FieldValue { tag: 'c', expected: "a number of blocks below 2^32" };
                let blocks = symbols::to_number(value).and_then(|blocks| u32::try_from(blocks).ok()).ok_or(bad)?;
                first(&mut self.min_final_cltv_expiry_delta, Some(blocks));
            }
            tag::FALLBACK => self.fallbacks.extend(fallback(value)),
            tag::ROUTE_HINT => self.route_hints.push(route_hint(value)?),
            tag::METADATA => first(&mut self.metadata, Some(symbols::to_bytes(value))),
            tag::FEATURES => first(&mut self.features, Some(features(value))),
            _ => {}
        }
        Ok(())
    }
}

/// Keeps the first value of a field.
fn first<T>(field: &mut Option<T>, value: Option<T>) {
    *field = field.take().or(value);
}

fn hash(value: &[u8]) -> Option<[u8; 32]> {
    (value.len() == HASH_SYMBOLS).then(|| symbols::to_bytes(value).try_into().expect("260 bits hold 32 bytes"))
}

fn node_id(value: &[u8]) -> Option<NodeId> {
    (value.len() == NODE_ID_SYMBOLS)
        .then(|| NodeId(symbols::to_bytes(value).try_into().expect("265 bits hold 33 bytes")))
}

fn fallback(value: &[u8]) -> Option<Fallback> {
    let (version, program) = value.split_first()?;
    Fallback::from_parts(*version, &symbols::to_bytes(program))
}

fn route_hint(value: &[u8]) -> Result<Vec<RouteHintHop>, InvoiceError> {
    let bytes = symbols::to_bytes(value);
    if bytes.is_empty() || !bytes.len().is_multiple_of(HOP_BYTES) {
        return Err(InvoiceError::FieldValue { tag: 'r', expected: "one or several hops of 51 bytes" });
    }
    Ok(bytes.chunks_exact(HOP_BYTES).map(hop).collect())
}

fn hop(bytes: &[u8]) -> RouteHintHop {
    let number = |range: std::ops::Range<usize>| bytes[range].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    RouteHintHop {
        node_id: NodeId(bytes[..33].try_into().expect("33 bytes")),
        short_channel_id: ShortChannelId(number(33..41)),
        fee_base_msat: number(41..45) as u32,
        fee_proportional_millionths: number(45..49) as u32,
        cltv_expiry_delta: number(49..51) as u16,
    }
}

/// The last symbol holds bits 0 to 4, so the padding is in front.
fn features(value: &[u8]) -> Features {
    let padding = (8 - value.len() * 5 % 8) % 8;
    let mut bytes = vec![0; (value.len() * 5 + padding) / 8];
    for (index, symbol) in value.iter().rev().enumerate() {
        for bit in (0..5).filter(|bit| symbol >> bit & 1 == 1) {
            let bit = index * 5 + bit;
            let last = bytes.len() - 1;
            bytes[last - bit / 8] |= 1 << (bit % 8);
        }
    }
    Features::from_wire(&bytes)
}

/// The signature and the payee. BOLT 11: without `n` the key is recovered and s may be high; with `n` a high s fails.
fn verify(
    prefix: &str,
    signed: &[u8],
    signature: &[u8],
    payee: Option<NodeId>,
) -> Result<(Signed, NodeId), InvoiceError> {
    let digest = Message::from_digest(digest(prefix, signed));
    let bytes = symbols::to_bytes(signature);
    let (compact, recovery_id) = bytes.split_first_chunk().expect("104 symbols are 65 bytes");
    let signed = Signed { compact: *compact, recovery_id: recovery_id[0] };
    let recoverable = RecoveryId::from_i32(recovery_id[0].into())
        .and_then(|id| RecoverableSignature::from_compact(compact, id))
        .map_err(|_| InvoiceError::NotRecoverable)?;
    if let Some(payee) = payee {
        let bad = |_| InvoiceError::BadSignature;
        let key = payee.parse().map_err(|_| InvoiceError::FieldValue { tag: 'n', expected: "a public key" })?;
        // The library accepts no high s here.
        SECP256K1.verify_ecdsa(&digest, &recoverable.to_standard(), &key).map_err(bad)?;
        return Ok((signed, payee));
    }
    let key = SECP256K1.recover_ecdsa(&digest, &recoverable).map_err(|_| InvoiceError::NotRecoverable)?;
    Ok((signed, key.into()))
}
