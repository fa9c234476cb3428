"""Reads the character vectors of an R package's data (Rdata.rdx, Rdata.rdb) without R.

R stores a package's data as one file of compressed objects (.rdb) and an index that says where each one lies (.rdx).
Both are in R's serialisation format, big-endian ("X"); only what such data needs is read, anything else is an error.
The format is described in "R Internals", section 1.8.
"""

import gzip
import struct
import zlib

SYMBOL, PAIRLIST, CHARS, LOGICAL, INTEGER, STRINGS, VECTOR = 1, 2, 9, 10, 13, 16, 19
NULL, REFERENCE = 254, 255
HAS_ATTRIBUTES, HAS_TAG = 1 << 9, 1 << 10


class Reader:
    """One serialised object: call item() for the outermost."""

    def __init__(self, data):
        self.data, self.at, self.symbols = data, 2, []
        if data[:2] != b"X\n":
            raise ValueError("not R data in the XDR format")
        version = self.integers(3)[0]
        if version == 3:  # the name of the native encoding follows
            self.bytes(self.integers(1)[0])
        elif version != 2:
            raise ValueError(f"R serialisation version {version}, expected 2 or 3")

    def bytes(self, count):
        if count < 0 or self.at + count > len(self.data):
            raise ValueError("R data ends in the middle of an object")
        self.at += count
        return self.data[self.at - count : self.at]

    def integers(self, count):
        return struct.unpack(f">{count}i", self.bytes(4 * count))

    def item(self):
        flags = self.integers(1)[0]
        kind = flags & 0xFF
        readers = {
            NULL: lambda: None,
            REFERENCE: lambda: self.symbols[(flags >> 8) - 1],
            SYMBOL: self.symbol,
            CHARS: self.chars,
            LOGICAL: self.numbers,
            INTEGER: self.numbers,
            STRINGS: self.items,
            VECTOR: self.items,
        }
        if kind == PAIRLIST:
            return self.pairs(flags)
        if kind not in readers:
            raise ValueError(f"R object of type {kind}, which is not read here")
        value = readers[kind]()
        attributes = self.item() if flags & HAS_ATTRIBUTES and kind != CHARS else None
        return dict(zip(attributes["names"], value)) if attributes and "names" in attributes else value

    def symbol(self):
        self.symbols.append(self.item())
        return self.symbols[-1]

    def chars(self):
        length = self.integers(1)[0]
        return None if length < 0 else self.bytes(length).decode("utf-8")

    def numbers(self):
        return list(self.integers(self.integers(1)[0]))

    def items(self):
        return [self.item() for _ in range(self.integers(1)[0])]

    def pairs(self, flags):
        """A list of tag = value cells, each followed by the rest of the list."""
        found = {}
        while flags & 0xFF == PAIRLIST:
            if flags & HAS_ATTRIBUTES:
                self.item()
            tag = self.item() if flags & HAS_TAG else len(found)
            found[tag] = self.item()
            flags = self.integers(1)[0]
        if flags & 0xFF != NULL:
            raise ValueError("an R pairlist does not end with NULL")
        return found


def variables(folder):
    """{name: value} of the data in a package's folder `data`."""
    with gzip.open(f"{folder}/Rdata.rdx") as file:
        index = Reader(file.read()).item()
    if index["compressed"] != [1]:
        raise ValueError(f"{folder}/Rdata.rdx: compression {index['compressed']}, expected [1] (zlib)")
    with open(f"{folder}/Rdata.rdb", "rb") as file:
        block = file.read()
    # Each object: its length when unpacked (4 bytes), then zlib's.
    unpack = lambda at, count: zlib.decompress(block[at + 4 : at + count])
    return {name: Reader(unpack(*where)).item() for name, where in index["variables"].items()}
