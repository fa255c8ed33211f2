//! The messages, one structure each, named as BOLT 1, 2 and 7 name them and their fields.
//!
//! The table below is the whole codec: what a message's fields are is also how it is read and written. Decoded messages
//! borrow from the read buffer.

use bitcoin::Txid;

use super::codec::{BigSize, Cursor, Field, Full, Reader};
use super::describe::Described;
use super::tlv::{self, Record, Stream, TlvError};
use crate::amount::{Msat, Sat};
use crate::ids::{ChainHash, ChannelId, CommitmentSecret, NodeId, PaymentHash, Point, Preimage, ShortChannelId, Sig};

/// Why bytes are no message that we can take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Not even a type.
    NoType,
    /// A type that is even and not known: the peer wants something we do not have (BOLT 1).
    UnknownEven {
        /// The type.
        message_type: u16,
    },
    /// The bytes end within a field.
    Truncated {
        /// The message.
        message: &'static str,
        /// The field.
        field: &'static str,
    },
    /// The extension is no TLV stream that we can take.
    Tlv {
        /// The message.
        message: &'static str,
        /// What is wrong.
        error: TlvError,
    },
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DecodeError::NoType => f.write_str("a message without a type"),
            DecodeError::UnknownEven { message_type } => {
                write!(f, "a message of type {message_type}, which is even and not known")
            }
            DecodeError::Truncated { message, field } => write!(f, "{message} ends within {field}"),
            DecodeError::Tlv { message, error } => write!(f, "{message}: {error}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// A value that fills a TLV record.
pub trait RecordValue<'a>: Sized {
    /// Reads it; `None` when the bytes do not have its form.
    fn read_record(bytes: &'a [u8]) -> Option<Self>;
    /// Writes it, without type and length.
    fn write_record(&self, out: &mut Cursor<'_>) -> Result<(), Full>;
    /// How many bytes that takes.
    fn record_len(&self) -> usize;
}

macro_rules! record_fields {
    ($($name:ty)*) => {$(
        impl<'a> RecordValue<'a> for $name {
            fn read_record(bytes: &'a [u8]) -> Option<Self> {
                let mut reader = Reader::new(bytes);
                let value = reader.read().ok()?;
                reader.is_empty().then_some(value)
            }
            fn write_record(&self, out: &mut Cursor<'_>) -> Result<(), Full> {
                self.write(out)
            }
            fn record_len(&self) -> usize {
                self.size()
            }
        }
    )*};
}
record_fields!(ShortChannelId Point Sig Txid u16 i64 FeeRange FundingLocked);

/// A record that is everything it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest<'a>(pub &'a [u8]);

impl<'a> RecordValue<'a> for Rest<'a> {
    fn read_record(bytes: &'a [u8]) -> Option<Self> {
        Some(Rest(bytes))
    }
    fn write_record(&self, out: &mut Cursor<'_>) -> Result<(), Full> {
        out.put(self.0)
    }
    fn record_len(&self) -> usize {
        self.0.len()
    }
}

/// A record that says something by being there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Present;

impl<'a> RecordValue<'a> for Present {
    fn read_record(bytes: &'a [u8]) -> Option<Self> {
        bytes.is_empty().then_some(Present)
    }
    fn write_record(&self, _: &mut Cursor<'_>) -> Result<(), Full> {
        Ok(())
    }
    fn record_len(&self) -> usize {
        0
    }
}

/// A record that is one BigSize.
impl<'a> RecordValue<'a> for BigSize {
    fn read_record(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let value = BigSize::read(&mut reader).ok()?;
        reader.is_empty().then_some(value)
    }
    fn write_record(&self, out: &mut Cursor<'_>) -> Result<(), Full> {
        self.write(out)
    }
    fn record_len(&self) -> usize {
        (*self).size()
    }
}

/// BOLT 2 `fee_range` of `closing_signed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeRange {
    /// The least the sender takes.
    pub min_fee_satoshis: Sat,
    /// The most the sender gives.
    pub max_fee_satoshis: Sat,
}

impl Field<'_> for FeeRange {
    fn read(reader: &mut Reader<'_>) -> Result<Self, super::codec::Eof> {
        Ok(FeeRange { min_fee_satoshis: reader.read()?, max_fee_satoshis: reader.read()? })
    }
    fn write(&self, out: &mut Cursor<'_>) -> Result<(), Full> {
        self.min_fee_satoshis.write(out)?;
        self.max_fee_satoshis.write(out)
    }
    fn size(&self) -> usize {
        16
    }
}

/// A funding transaction and what shall be sent again for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FundingLocked {
    /// The transaction.
    pub txid: Txid,
    /// Bit 0 of `next_funding`: `commitment_signed`; of `my_current_funding_locked`: `announcement_signatures`.
    pub retransmit_flags: u8,
}

impl Field<'_> for FundingLocked {
    fn read(reader: &mut Reader<'_>) -> Result<Self, super::codec::Eof> {
        Ok(FundingLocked { txid: reader.read()?, retransmit_flags: reader.read()? })
    }
    fn write(&self, out: &mut Cursor<'_>) -> Result<(), Full> {
        self.txid.write(out)?;
        self.retransmit_flags.write(out)
    }
    fn size(&self) -> usize {
        33
    }
}

/// HTLC signatures, counted: as they came, or as we made them.
#[derive(Clone, Copy, Debug)]
pub enum Sigs<'a> {
    /// In the read buffer, 64 bytes each.
    Raw(&'a [u8]),
    /// Ours.
    Made(&'a [Sig]),
}

impl<'a> Sigs<'a> {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Sigs::Raw(bytes) => bytes.len() / 64,
            Sigs::Made(sigs) => sigs.len(),
        }
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = Sig> + 'a {
        let (raw, made): (&[u8], &[Sig]) = match self {
            Sigs::Raw(bytes) => (bytes, &[]),
            Sigs::Made(sigs) => (&[], sigs),
        };
        let raw = raw.chunks_exact(64).map(|bytes| Sig(bytes.try_into().expect("chunks of 64")));
        raw.chain(made.iter().copied())
    }
}

impl PartialEq for Sigs<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Sigs<'_> {}

impl<'a> Field<'a> for Sigs<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, super::codec::Eof> {
        let count: u16 = reader.read()?;
        reader.take(usize::from(count) * 64).map(Sigs::Raw)
    }
    fn write(&self, out: &mut Cursor<'_>) -> Result<(), Full> {
        u16::try_from(self.len()).map_err(|_| Full)?.write(out)?;
        match self {
            Sigs::Raw(bytes) => out.put(bytes),
            Sigs::Made(sigs) => sigs.iter().try_for_each(|sig| out.put(&sig.0)),
        }
    }
    fn size(&self) -> usize {
        2 + 64 * self.len()
    }
}

/// Counted witnesses, each with its length in front: kept as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witnesses<'a> {
    /// How many.
    pub count: u16,
    /// One after the other, `u16` length and bytes each.
    pub bytes: &'a [u8],
}

impl<'a> Witnesses<'a> {
    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + 'a {
        let mut reader = Reader::new(self.bytes);
        (0..self.count).map_while(move |_| reader.read::<&[u8]>().ok())
    }
}

impl<'a> Field<'a> for Witnesses<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, super::codec::Eof> {
        let count: u16 = reader.read()?;
        let start = reader.rest();
        for _ in 0..count {
            reader.read::<&[u8]>()?;
        }
        Ok(Witnesses { count, bytes: &start[..start.len() - reader.rest().len()] })
    }
    fn write(&self, out: &mut Cursor<'_>) -> Result<(), Full> {
        self.count.write(out)?;
        out.put(self.bytes)
    }
    fn size(&self) -> usize {
        2 + self.bytes.len()
    }
}

/// What follows the known fields of a signed gossip message: part of what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Trailing<'a>(pub &'a [u8]);

macro_rules! messages {
    ($(
        $(#[$doc:meta])*
        $name:ident $(<$lt:lifetime>)? = $number:literal $text:literal {
            $( $field:ident : $ty:ty ),* $(,)?
        } $( [ $( $kind:literal $record:ident : $record_ty:ty ),* $(,)? ] )? $( trailing $trailing:ident )? ;
    )*) => {
        $(
            messages!(@struct $(#[$doc])* $name ($($lt)?) $number $text { $($field: $ty),* }
                [ $($( $kind $record : $record_ty ),*)? ] ($($trailing)?));
        )*

        /// Any message.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each variant is the structure of its name")]
        pub enum Message<'a> {
            $( $name($name $(<$lt>)?), )*
            /// One that is odd and not known: to be ignored (BOLT 1).
            Unknown {
                /// Its type.
                message_type: u16,
                /// Its body.
                payload: &'a [u8],
            },
        }

        impl<'a> Message<'a> {
            /// Reads type and body, with all checks of BOLT 1.
            pub fn decode(bytes: &'a [u8]) -> Result<Message<'a>, DecodeError> {
                let mut reader = Reader::new(bytes);
                let message_type: u16 = reader.read().map_err(|_| DecodeError::NoType)?;
                match message_type {
                    $( $number => $name::decode_body(&mut reader).map(Message::$name), )*
                    odd if odd % 2 == 1 => Ok(Message::Unknown { message_type, payload: reader.rest() }),
                    _ => Err(DecodeError::UnknownEven { message_type }),
                }
            }

            /// Writes type and body.
            pub fn encode(&self, out: &mut Cursor<'_>) -> Result<(), Full> {
                match self {
                    $( Message::$name(message) => message.encode(out), )*
                    Message::Unknown { message_type, payload } => {
                        message_type.write(out)?;
                        out.put(payload)
                    }
                }
            }

            /// How many bytes that takes.
            pub fn encoded_len(&self) -> usize {
                match self {
                    $( Message::$name(message) => message.encoded_len(), )*
                    Message::Unknown { payload, .. } => 2 + payload.len(),
                }
            }

            /// The type's number.
            pub fn message_type(&self) -> u16 {
                match self {
                    $( Message::$name(_) => $number, )*
                    Message::Unknown { message_type, .. } => *message_type,
                }
            }

            /// Shows each field by its name, in the order of the specification; of the extension, the records that are
            /// there.
            pub fn fields(&self, visit: &mut dyn FnMut(&'static str, Described<'_>)) {
                match self {
                    $( Message::$name(message) => message.fields(visit), )*
                    Message::Unknown { payload, .. } => visit("payload", Described(payload)),
                }
            }

            /// The name the specification gives it.
            pub fn name(&self) -> &'static str {
                match self {
                    $( Message::$name(_) => $text, )*
                    Message::Unknown { .. } => "unknown message",
                }
            }
        }

        /// Numbers and names of all messages.
        pub const MESSAGE_TYPES: &[(u16, &str)] = &[ $( ($number, $text) ),* ];
    };

    (@struct $(#[$doc:meta])* $name:ident ($($lt:lifetime)?) $number:literal $text:literal
        { $( $field:ident : $ty:ty ),* } [ $( $kind:literal $record:ident : $record_ty:ty ),* ] ($($trailing:ident)?)
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the fields are the specification's, by its names")]
        pub struct $name $(<$lt>)? {
            $( pub $field: $ty, )*
            $( pub $record: Option<$record_ty>, )*
            $( pub $trailing: Trailing<'a>, )?
        }

        impl $(<$lt>)? $name $(<$lt>)? {
            fn fields(&self, visit: &mut dyn FnMut(&'static str, Described<'_>)) {
                $( visit(stringify!($field), Described(&self.$field)); )*
                $( if let Some(record) = &self.$record {
                    visit(stringify!($record), Described(record));
                } )*
                $( if !self.$trailing.0.is_empty() {
                    visit(stringify!($trailing), Described(&self.$trailing));
                } )?
            }
        }

        messages!(@impl $name ($($lt)?) $number $text { $($field: $ty),* }
            [ $($kind $record : $record_ty),* ] ($($trailing)?));
    };

    (@impl $name:ident ($($lt:lifetime)?) $number:literal $text:literal
        { $( $field:ident : $ty:ty ),* } [ $( $kind:literal $record:ident : $record_ty:ty ),* ] ()
    ) => {
        impl<'a> $name $(<$lt>)? {
            /// The type's number.
            pub const TYPE: u16 = $number;

            fn decode_body(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                $( let $field = reader.read::<$ty>().map_err(|_| DecodeError::Truncated {
                    message: $text,
                    field: stringify!($field),
                })?; )*
                $( let mut $record: Option<$record_ty> = None; )*
                let fail = |error| DecodeError::Tlv { message: $text, error };
                for record in Stream::new(reader.rest()) {
                    let Record { kind, value: _value, offset } = record.map_err(fail)?;
                    match kind {
                        $( $kind => {
                            $record = Some(<$record_ty as RecordValue>::read_record(_value)
                                .ok_or(fail(TlvError::BadValue { kind, offset }))?);
                        } )*
                        even if even % 2 == 0 => return Err(fail(TlvError::UnknownEven { kind, offset })),
                        _ => {}
                    }
                }
                Ok($name { $( $field, )* $( $record, )* })
            }

            fn encode(&self, out: &mut Cursor<'_>) -> Result<(), Full> {
                ($number as u16).write(out)?;
                $( self.$field.write(out)?; )*
                $( if let Some(record) = &self.$record {
                    tlv::write_head($kind, record.record_len(), out)?;
                    record.write_record(out)?;
                } )*
                Ok(())
            }

            fn encoded_len(&self) -> usize {
                let fields = 2 $( + self.$field.size() )*;
                fields $( + self.$record.as_ref().map_or(0, |record| tlv::record_size($kind, record.record_len())) )*
            }
        }

        impl<'a> From<$name $(<$lt>)?> for Message<'a> {
            fn from(message: $name $(<$lt>)?) -> Message<'a> {
                Message::$name(message)
            }
        }
    };

    // Signed gossip: what follows the known fields is signed too, so it is kept. It is a TLV stream all the same.
    (@impl $name:ident ($($lt:lifetime)?) $number:literal $text:literal
        { $( $field:ident : $ty:ty ),* } [ ] ($trailing:ident)
    ) => {
        impl<'a> $name $(<$lt>)? {
            /// The type's number.
            pub const TYPE: u16 = $number;

            fn decode_body(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                $( let $field = reader.read::<$ty>().map_err(|_| DecodeError::Truncated {
                    message: $text,
                    field: stringify!($field),
                })?; )*
                tlv::check_unknown(reader.rest()).map_err(|error| DecodeError::Tlv { message: $text, error })?;
                Ok($name { $( $field, )* $trailing: Trailing(reader.rest()) })
            }

            fn encode(&self, out: &mut Cursor<'_>) -> Result<(), Full> {
                ($number as u16).write(out)?;
                $( self.$field.write(out)?; )*
                out.put(self.$trailing.0)
            }

            fn encoded_len(&self) -> usize {
                2 $( + self.$field.size() )* + self.$trailing.0.len()
            }
        }

        impl<'a> From<$name $(<$lt>)?> for Message<'a> {
            fn from(message: $name $(<$lt>)?) -> Message<'a> {
                Message::$name(message)
            }
        }
    };
}

messages! {
    /// Something is wrong, but no channel fails for it.
    Warning<'a> = 1 "warning" { channel_id: ChannelId, data: &'a [u8] };
    /// Stop making updates.
    Stfu = 2 "stfu" { channel_id: ChannelId, initiator: u8 };
    /// Keep this for me.
    PeerStorage<'a> = 7 "peer_storage" { blob: &'a [u8] };
    /// What you gave me to keep.
    PeerStorageRetrieval<'a> = 9 "peer_storage_retrieval" { blob: &'a [u8] };
    /// The first message of each side.
    Init<'a> = 16 "init" { globalfeatures: &'a [u8], features: &'a [u8] }
        [1 networks: Rest<'a>, 3 remote_addr: Rest<'a>];
    /// The channel, or all with this peer if the id is zero, have failed.
    Error<'a> = 17 "error" { channel_id: ChannelId, data: &'a [u8] };
    /// Are you there?
    Ping<'a> = 18 "ping" { num_pong_bytes: u16, ignored: &'a [u8] };
    /// I am.
    Pong<'a> = 19 "pong" { ignored: &'a [u8] };

    /// Let us have a channel.
    OpenChannel<'a> = 32 "open_channel" {
        chain_hash: ChainHash, temporary_channel_id: ChannelId, funding_satoshis: Sat, push_msat: Msat,
        dust_limit_satoshis: Sat, max_htlc_value_in_flight_msat: Msat, channel_reserve_satoshis: Sat,
        htlc_minimum_msat: Msat, feerate_per_kw: u32, to_self_delay: u16, max_accepted_htlcs: u16,
        funding_pubkey: Point, revocation_basepoint: Point, payment_basepoint: Point,
        delayed_payment_basepoint: Point, htlc_basepoint: Point, first_per_commitment_point: Point,
        channel_flags: u8,
    } [0 upfront_shutdown_script: Rest<'a>, 1 channel_type: Rest<'a>];
    /// Yes, on these terms.
    AcceptChannel<'a> = 33 "accept_channel" {
        temporary_channel_id: ChannelId, dust_limit_satoshis: Sat, max_htlc_value_in_flight_msat: Msat,
        channel_reserve_satoshis: Sat, htlc_minimum_msat: Msat, minimum_depth: u32, to_self_delay: u16,
        max_accepted_htlcs: u16, funding_pubkey: Point, revocation_basepoint: Point, payment_basepoint: Point,
        delayed_payment_basepoint: Point, htlc_basepoint: Point, first_per_commitment_point: Point,
    } [0 upfront_shutdown_script: Rest<'a>, 1 channel_type: Rest<'a>];
    /// The funding transaction is made.
    FundingCreated = 34 "funding_created" {
        temporary_channel_id: ChannelId, funding_txid: Txid, funding_output_index: u16, signature: Sig,
    };
    /// Your first commitment is signed.
    FundingSigned = 35 "funding_signed" { channel_id: ChannelId, signature: Sig };
    /// The funding is deep enough for me.
    ChannelReady = 36 "channel_ready" { channel_id: ChannelId, second_per_commitment_point: Point }
        [1 short_channel_id: ShortChannelId];
    /// Let us close.
    Shutdown<'a> = 38 "shutdown" { channel_id: ChannelId, scriptpubkey: &'a [u8] };
    /// My offer of a fee, signed.
    ClosingSigned = 39 "closing_signed" { channel_id: ChannelId, fee_satoshis: Sat, signature: Sig }
        [1 fee_range: FeeRange];
    /// My closing transaction, signed.
    ClosingComplete<'a> = 40 "closing_complete" {
        channel_id: ChannelId, closer_scriptpubkey: &'a [u8], closee_scriptpubkey: &'a [u8], fee_satoshis: Sat,
        locktime: u32,
    } [1 closer_output_only: Sig, 2 closee_output_only: Sig, 3 closer_and_closee_outputs: Sig];
    /// Your closing transaction, signed.
    ClosingSig<'a> = 41 "closing_sig" {
        channel_id: ChannelId, closer_scriptpubkey: &'a [u8], closee_scriptpubkey: &'a [u8], fee_satoshis: Sat,
        locktime: u32,
    } [1 closer_output_only: Sig, 2 closee_output_only: Sig, 3 closer_and_closee_outputs: Sig];

    /// Let us have a channel that both may fund.
    OpenChannel2<'a> = 64 "open_channel2" {
        chain_hash: ChainHash, temporary_channel_id: ChannelId, funding_feerate_perkw: u32,
        commitment_feerate_perkw: u32, funding_satoshis: Sat, dust_limit_satoshis: Sat,
        max_htlc_value_in_flight_msat: Msat, htlc_minimum_msat: Msat, to_self_delay: u16, max_accepted_htlcs: u16,
        locktime: u32, funding_pubkey: Point, revocation_basepoint: Point, payment_basepoint: Point,
        delayed_payment_basepoint: Point, htlc_basepoint: Point, first_per_commitment_point: Point,
        second_per_commitment_point: Point, channel_flags: u8,
    } [0 upfront_shutdown_script: Rest<'a>, 1 channel_type: Rest<'a>, 2 require_confirmed_inputs: Present];
    /// Yes, on these terms.
    AcceptChannel2<'a> = 65 "accept_channel2" {
        temporary_channel_id: ChannelId, funding_satoshis: Sat, dust_limit_satoshis: Sat,
        max_htlc_value_in_flight_msat: Msat, htlc_minimum_msat: Msat, minimum_depth: u32, to_self_delay: u16,
        max_accepted_htlcs: u16, funding_pubkey: Point, revocation_basepoint: Point, payment_basepoint: Point,
        delayed_payment_basepoint: Point, htlc_basepoint: Point, first_per_commitment_point: Point,
        second_per_commitment_point: Point,
    } [0 upfront_shutdown_script: Rest<'a>, 1 channel_type: Rest<'a>, 2 require_confirmed_inputs: Present];
    /// An input of our common transaction.
    TxAddInput<'a> = 66 "tx_add_input" {
        channel_id: ChannelId, serial_id: u64, prevtx: &'a [u8], prevtx_vout: u32, sequence: u32,
    } [0 shared_input_txid: Txid];
    /// An output of our common transaction.
    TxAddOutput<'a> = 67 "tx_add_output" { channel_id: ChannelId, serial_id: u64, sats: Sat, script: &'a [u8] };
    /// Take that input back.
    TxRemoveInput = 68 "tx_remove_input" { channel_id: ChannelId, serial_id: u64 };
    /// Take that output back.
    TxRemoveOutput = 69 "tx_remove_output" { channel_id: ChannelId, serial_id: u64 };
    /// Nothing to add.
    TxComplete = 70 "tx_complete" { channel_id: ChannelId };
    /// My signatures on our common transaction.
    TxSignatures<'a> = 71 "tx_signatures" { channel_id: ChannelId, txid: Txid, witnesses: Witnesses<'a> }
        [0 shared_input_signature: Sig];
    /// Let us replace our common transaction.
    TxInitRbf = 72 "tx_init_rbf" { channel_id: ChannelId, locktime: u32, feerate: u32 }
        [0 funding_output_contribution: i64, 2 require_confirmed_inputs: Present];
    /// Yes, let us.
    TxAckRbf = 73 "tx_ack_rbf" { channel_id: ChannelId }
        [0 funding_output_contribution: i64, 2 require_confirmed_inputs: Present];
    /// Let us forget about it.
    TxAbort<'a> = 74 "tx_abort" { channel_id: ChannelId, data: &'a [u8] };
    /// The splice is deep enough for me.
    SpliceLocked = 77 "splice_locked" { channel_id: ChannelId, splice_txid: Txid };
    /// Let us splice.
    SpliceInit = 80 "splice_init" {
        channel_id: ChannelId, funding_contribution_satoshis: i64, funding_feerate_perkw: u32, locktime: u32,
        funding_pubkey: Point,
    } [2 require_confirmed_inputs: Present];
    /// Yes, let us.
    SpliceAck = 81 "splice_ack" {
        channel_id: ChannelId, funding_contribution_satoshis: i64, funding_pubkey: Point,
    } [2 require_confirmed_inputs: Present];

    /// The next messages belong together.
    StartBatch = 127 "start_batch" { channel_id: ChannelId, batch_size: u16 } [1 message_type: u16];
    /// Here is an HTLC.
    UpdateAddHtlc<'a> = 128 "update_add_htlc" {
        channel_id: ChannelId, id: u64, amount_msat: Msat, payment_hash: PaymentHash, cltv_expiry: u32,
        onion_routing_packet: &'a [u8; 1366],
    } [0 blinded_path: Point];
    /// Here is its preimage.
    UpdateFulfillHtlc<'a> = 130 "update_fulfill_htlc" {
        channel_id: ChannelId, id: u64, payment_preimage: Preimage,
    } [1 attribution_data: Rest<'a>];
    /// It failed.
    UpdateFailHtlc<'a> = 131 "update_fail_htlc" { channel_id: ChannelId, id: u64, reason: &'a [u8] }
        [1 attribution_data: Rest<'a>];
    /// Your next commitment is signed.
    CommitmentSigned<'a> = 132 "commitment_signed" {
        channel_id: ChannelId, signature: Sig, htlc_signatures: Sigs<'a>,
    } [1 funding_txid: Txid];
    /// My last commitment is revoked.
    RevokeAndAck = 133 "revoke_and_ack" {
        channel_id: ChannelId, per_commitment_secret: CommitmentSecret, next_per_commitment_point: Point,
    };
    /// Commitments pay this from now on.
    UpdateFee = 134 "update_fee" { channel_id: ChannelId, feerate_per_kw: u32 };
    /// Its onion cannot be read.
    UpdateFailMalformedHtlc = 135 "update_fail_malformed_htlc" {
        channel_id: ChannelId, id: u64, sha256_of_onion: [u8; 32], failure_code: u16,
    };
    /// Where we were when the connection went.
    ChannelReestablish = 136 "channel_reestablish" {
        channel_id: ChannelId, next_commitment_number: u64, next_revocation_number: u64,
        your_last_per_commitment_secret: [u8; 32], my_current_per_commitment_point: [u8; 33],
    } [1 next_funding: FundingLocked, 5 my_current_funding_locked: FundingLocked];

    /// A channel exists.
    ChannelAnnouncement<'a> = 256 "channel_announcement" {
        node_signature_1: Sig, node_signature_2: Sig, bitcoin_signature_1: Sig, bitcoin_signature_2: Sig,
        features: &'a [u8], chain_hash: ChainHash, short_channel_id: ShortChannelId, node_id_1: NodeId,
        node_id_2: NodeId, bitcoin_key_1: Point, bitcoin_key_2: Point,
    } trailing trailing;
    /// A node exists.
    NodeAnnouncement<'a> = 257 "node_announcement" {
        signature: Sig, features: &'a [u8], timestamp: u32, node_id: NodeId, rgb_color: [u8; 3], alias: [u8; 32],
        addresses: &'a [u8],
    } trailing trailing;
    /// What one end of a channel asks for forwarding.
    ChannelUpdate<'a> = 258 "channel_update" {
        signature: Sig, chain_hash: ChainHash, short_channel_id: ShortChannelId, timestamp: u32, message_flags: u8,
        channel_flags: u8, cltv_expiry_delta: u16, htlc_minimum_msat: Msat, fee_base_msat: u32,
        fee_proportional_millionths: u32, htlc_maximum_msat: Msat,
    } trailing trailing;
    /// My half of the channel's announcement.
    AnnouncementSignatures = 259 "announcement_signatures" {
        channel_id: ChannelId, short_channel_id: ShortChannelId, node_signature: Sig, bitcoin_signature: Sig,
    };
    /// Tell me of these channels.
    QueryShortChannelIds<'a> = 261 "query_short_channel_ids" { chain_hash: ChainHash, encoded_short_ids: &'a [u8] }
        [1 query_flags: Rest<'a>];
    /// That was all.
    ReplyShortChannelIdsEnd = 262 "reply_short_channel_ids_end" { chain_hash: ChainHash, full_information: u8 };
    /// Which channels do you know in these blocks?
    QueryChannelRange = 263 "query_channel_range" {
        chain_hash: ChainHash, first_blocknum: u32, number_of_blocks: u32,
    } [1 query_option: BigSize];
    /// These.
    ReplyChannelRange<'a> = 264 "reply_channel_range" {
        chain_hash: ChainHash, first_blocknum: u32, number_of_blocks: u32, sync_complete: u8,
        encoded_short_ids: &'a [u8],
    } [1 timestamps: Rest<'a>, 3 checksums: Rest<'a>];
    /// Send me gossip of this time.
    GossipTimestampFilter = 265 "gossip_timestamp_filter" {
        chain_hash: ChainHash, first_timestamp: u32, timestamp_range: u32,
    };
    /// A message along a path of its own.
    OnionMessage<'a> = 513 "onion_message" { path_key: Point, onion_message_packet: &'a [u8] };
}
