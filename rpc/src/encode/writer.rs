//! Writes JSON straight into a buffer, in the order that the code gives: clients rely on the first member of some.

use std::io::Write;

use bitcoin::consensus::encode::serialize;
use bitcoin::{Script, ScriptBuf, Transaction, Txid};
use leyden_core::address::NetAddr;
use leyden_core::amount::{Msat, Sat};
use leyden_core::clock::Wall;
use leyden_core::ids::{BlockHeight, ChannelId, HtlcId, NodeId, PaymentHash, PaymentSecret, Preimage, ShortChannelId};

use crate::address::parts;

/// A value that can be written.
pub(crate) trait Json {
    /// Writes it.
    fn write(&self, out: &mut Vec<u8>);
}

/// An object being written.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    /// Begins one.
    pub(crate) fn open(out: &'a mut Vec<u8>) -> Object<'a> {
        out.push(b'{');
        Object { out, first: true }
    }

    /// Ends it.
    pub(crate) fn close(self) {
        self.out.push(b'}');
    }

    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::replace(&mut self.first, false) {
            self.out.push(b',');
        }
        name.write(self.out);
        self.out.push(b':');
        self.out
    }

    /// A member.
    pub(crate) fn put(&mut self, name: &str, value: impl Json) {
        value.write(self.name(name));
    }

    /// A member that may be absent.
    pub(crate) fn put_some(&mut self, name: &str, value: Option<impl Json>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// A member that is an object.
    pub(crate) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        let mut object = Object::open(self.name(name));
        fill(&mut object);
        object.close();
    }

    /// A member that is an array of objects.
    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut fill: impl FnMut(T, &mut Object<'_>),
    ) {
        array(self.name(name), items, |item, out| {
            let mut object = Object::open(out);
            fill(item, &mut object);
            object.close();
        });
    }

    /// A member that is an array of values.
    pub(crate) fn values(&mut self, name: &str, items: impl IntoIterator<Item = impl Json>) {
        array(self.name(name), items, |item, out| item.write(out));
    }
}

/// An array, each item written by `write`.
pub(crate) fn array<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut write: impl FnMut(T, &mut Vec<u8>)) {
    out.push(b'[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

impl<T: Json + ?Sized> Json for &T {
    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }
}

impl Json for str {
    fn write(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(out, self).expect("a vector takes everything, and a text is always JSON");
    }
}

impl Json for String {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_str().write(out);
    }
}

/// What its `Display` says, bare or quoted.
macro_rules! displayed {
    ($quotes:literal: $($kind:ty)*) => {$(
        impl Json for $kind {
            fn write(&self, out: &mut Vec<u8>) {
                write!(out, $quotes, self).expect("a vector takes everything");
            }
        }
    )*};
}
displayed!("{}": u8 u16 u32 u64 bool BlockHeight HtlcId);
displayed!("\"{}\"": ShortChannelId Txid bitcoin::BlockHash);

macro_rules! amounts {
    ($($kind:ident)*) => {$(
        /// Plain numbers: the member's name says which unit.
        impl Json for $kind {
            fn write(&self, out: &mut Vec<u8>) {
                self.0.write(out);
            }
        }
    )*};
}
amounts!(Msat Sat);

/// Bytes as lower-case hex.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl Json for Hex<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        out.push(b'"');
        for byte in self.0 {
            out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        out.push(b'"');
    }
}

macro_rules! hex {
    ($($kind:ident)*) => {$(
        impl Json for $kind {
            fn write(&self, out: &mut Vec<u8>) {
                Hex(&self.0).write(out);
            }
        }
    )*};
}
hex!(NodeId ChannelId PaymentHash PaymentSecret Preimage);

impl Json for Script {
    fn write(&self, out: &mut Vec<u8>) {
        Hex(self.as_bytes()).write(out);
    }
}

impl Json for ScriptBuf {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_script().write(out);
    }
}

impl Json for Transaction {
    fn write(&self, out: &mut Vec<u8>) {
        Hex(&serialize(self)).write(out);
    }
}

/// A moment in seconds with its milliseconds behind the point.
pub(crate) struct Seconds(pub(crate) Wall);

impl Json for Seconds {
    fn write(&self, out: &mut Vec<u8>) {
        write!(out, "{}.{:03}", self.0.0 / 1000, self.0.0 % 1000).expect("a vector takes everything");
    }
}

impl Json for NetAddr {
    fn write(&self, out: &mut Vec<u8>) {
        let (kind, host, port) = parts(self);
        let mut object = Object::open(out);
        object.put("type", kind);
        object.put("address", host);
        object.put("port", port);
        object.close();
    }
}
