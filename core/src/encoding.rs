//! How state is encoded that holds types which are not ours.
//!
//! Most structs derive `bincode::Encode` and `Decode`, with `#[bincode(with_serde)]` on foreign fields. The derive has
//! no way for a map whose keys alone are foreign, nor for what serde does not know: [`encode_fields`] names every
//! field of such a struct, with a codec of this module where one is needed.

use std::collections::BTreeMap;

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use secp256k1::serde;

/// Encodes a struct field by field. A field that is left out does not compile.
///
/// `field` encodes itself; `field as codec` goes through `encoding::codec`.
macro_rules! encode_fields {
    ($name:ident { $($field:ident $(as $codec:ident)?),* $(,)? }) => {
        impl bincode::Encode for $name {
            fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), bincode::error::EncodeError> {
                let $name { $($field),* } = self;
                $($crate::encoding::encode_fields!(@encode encoder, $field $(as $codec)?);)*
                Ok(())
            }
        }

        impl<Context> bincode::Decode<Context> for $name {
            fn decode<D: bincode::de::Decoder<Context = Context>>(
                decoder: &mut D,
            ) -> Result<$name, bincode::error::DecodeError> {
                // The fields are read in the order in which they are named, which is the order of `encode`.
                Ok($name { $($field: $crate::encoding::encode_fields!(@decode decoder $(, $codec)?)),* })
            }
        }

        // The derive asks it of every field.
        bincode::impl_borrow_decode!($name);
    };
    (@encode $encoder:ident, $field:ident) => { bincode::Encode::encode($field, $encoder)? };
    (@encode $encoder:ident, $field:ident as $codec:ident) => { $crate::encoding::$codec::encode($field, $encoder)? };
    (@decode $decoder:ident) => { bincode::Decode::decode($decoder)? };
    (@decode $decoder:ident, $codec:ident) => { $crate::encoding::$codec::decode($decoder)? };
}
pub(crate) use encode_fields;

/// What serde encodes.
pub(crate) mod foreign {
    use super::*;
    use bincode::serde::{BorrowCompat, Compat};
    use bincode::{Decode, Encode};

    pub(crate) fn encode<T: serde::Serialize, E: Encoder>(value: &T, encoder: &mut E) -> Result<(), EncodeError> {
        BorrowCompat(value).encode(encoder)
    }

    pub(crate) fn decode<T: serde::de::DeserializeOwned, D: Decoder>(decoder: &mut D) -> Result<T, DecodeError> {
        Compat::decode(decoder).map(|Compat(value)| value)
    }
}

/// What serde encodes, once for either side.
pub(crate) mod foreign_pair {
    use super::*;
    use crate::side::PerSide;
    use bincode::serde::{BorrowCompat, Compat};
    use bincode::{Decode, Encode};

    pub(crate) fn encode<T: serde::Serialize, E: Encoder>(
        pair: &PerSide<T>,
        encoder: &mut E,
    ) -> Result<(), EncodeError> {
        (BorrowCompat(&pair.local), BorrowCompat(&pair.remote)).encode(encoder)
    }

    pub(crate) fn decode<T: serde::de::DeserializeOwned, D: Decoder>(
        decoder: &mut D,
    ) -> Result<PerSide<T>, DecodeError> {
        let (Compat(local), Compat(remote)) = Decode::decode(decoder)?;
        Ok(PerSide { local, remote })
    }
}

/// A map with foreign keys.
pub(crate) mod foreign_keys {
    use super::*;
    use bincode::serde::{BorrowCompat, Compat};
    use bincode::{Decode, Encode};

    pub(crate) fn encode<K: serde::Serialize, V: Encode, E: Encoder>(
        map: &BTreeMap<K, V>,
        encoder: &mut E,
    ) -> Result<(), EncodeError> {
        (map.len() as u64).encode(encoder)?;
        map.iter().try_for_each(|(key, value)| (BorrowCompat(key), value).encode(encoder))
    }

    pub(crate) fn decode<K, V, C, D>(decoder: &mut D) -> Result<BTreeMap<K, V>, DecodeError>
    where
        K: Ord + serde::de::DeserializeOwned,
        V: Decode<C>,
        D: Decoder<Context = C>,
    {
        let mut map = BTreeMap::new();
        for _ in 0..u64::decode(decoder)? {
            let (Compat(key), value) = Decode::decode(decoder)?;
            map.insert(key, value);
        }
        Ok(map)
    }
}

/// A map with foreign values.
pub(crate) mod foreign_values {
    use super::*;
    use bincode::serde::{BorrowCompat, Compat};
    use bincode::{Decode, Encode};

    pub(crate) fn encode<K: Encode, V: serde::Serialize, E: Encoder>(
        map: &BTreeMap<K, V>,
        encoder: &mut E,
    ) -> Result<(), EncodeError> {
        (map.len() as u64).encode(encoder)?;
        map.iter().try_for_each(|(key, value)| (key, BorrowCompat(value)).encode(encoder))
    }

    pub(crate) fn decode<K, V, C, D>(decoder: &mut D) -> Result<BTreeMap<K, V>, DecodeError>
    where
        K: Ord + Decode<C>,
        V: serde::de::DeserializeOwned,
        D: Decoder<Context = C>,
    {
        let mut map = BTreeMap::new();
        for _ in 0..u64::decode(decoder)? {
            let (key, Compat(value)) = Decode::decode(decoder)?;
            map.insert(key, value);
        }
        Ok(map)
    }
}

/// The hash that is signed: secp256k1 keeps it from serde.
pub(crate) mod sighash {
    use super::*;
    use bincode::{Decode, Encode};

    pub(crate) fn encode<E: Encoder>(sighash: &secp256k1::Message, encoder: &mut E) -> Result<(), EncodeError> {
        AsRef::<[u8; 32]>::as_ref(sighash).encode(encoder)
    }

    pub(crate) fn decode<D: Decoder>(decoder: &mut D) -> Result<secp256k1::Message, DecodeError> {
        Ok(secp256k1::Message::from_digest(<[u8; 32]>::decode(decoder)?))
    }
}

/// A transaction that may become one, in the form of BIP 174, with the number of an output.
pub(crate) mod psbt {
    use super::*;
    use bincode::{Decode, Encode};
    use bitcoin::Psbt;

    pub(crate) fn encode<E: Encoder>(psbt: &Option<(Psbt, u32)>, encoder: &mut E) -> Result<(), EncodeError> {
        psbt.as_ref().map(|(psbt, output)| (psbt.serialize(), *output)).encode(encoder)
    }

    pub(crate) fn decode<D: Decoder>(decoder: &mut D) -> Result<Option<(Psbt, u32)>, DecodeError> {
        let Some((bytes, output)) = <Option<(Vec<u8>, u32)>>::decode(decoder)? else { return Ok(None) };
        let psbt = Psbt::deserialize(&bytes).map_err(|error| DecodeError::OtherString(error.to_string()))?;
        Ok(Some((psbt, output)))
    }
}
