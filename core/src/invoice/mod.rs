//! Invoices (BOLT 11) and signed messages.
