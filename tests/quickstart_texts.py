"""The quickstart's texts: R's format is read as "R Internals" describes it, and novels are cut into chapters."""

import gzip
import os
import struct
import sys
import tempfile
import unittest
import zlib

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "launch", "quickstart.d"))
import rdata
import texts


def ints(*numbers):
    return struct.pack(f">{len(numbers)}i", *numbers)


def chars(text):
    return ints(0x00040009, len(text.encode())) + text.encode()


def strings(*values):
    return ints(16, len(values)) + b"".join(map(chars, values))


def named(flags, values, *names):
    """A vector with the attribute `names`, the pairlist that R writes behind it."""
    return ints(flags | 0x200, len(values)) + b"".join(values) + ints(0x402, 1) + chars("names") + strings(*names) + ints(254)


HEAD_2 = b"X\n" + ints(2, 0x040200, 0x020300)
HEAD_3 = b"X\n" + ints(3, 0x040200, 0x030500, 5) + b"UTF-8"


class RData(unittest.TestCase):
    def test_strings_in_both_versions_of_the_format(self):
        for head in (HEAD_2, HEAD_3):
            self.assertEqual(rdata.Reader(head + strings("It is", "", "a £")).item(), ["It is", "", "a £"])

    def test_a_missing_string_is_none(self):
        self.assertEqual(rdata.Reader(HEAD_3 + ints(16, 1, 0x00000009, -1)).item(), [None])

    def test_a_named_list_is_a_dictionary(self):
        body = named(19, [strings("x"), ints(13, 2, 7, -8)], "text", "where")
        self.assertEqual(rdata.Reader(HEAD_3 + body).item(), {"text": ["x"], "where": [7, -8]})

    def test_a_symbol_is_written_once_and_referred_to_after(self):
        body = ints(19, 2) + ints(1) + chars("names") + ints(0x1FF)
        self.assertEqual(rdata.Reader(HEAD_3 + body).item(), ["names", "names"])

    def test_an_index_that_r_wrote(self):
        with gzip.open(os.path.join(HERE, "fixtures", "rdata", "janeaustenr.rdx")) as file:
            index = rdata.Reader(file.read()).item()
        self.assertEqual(index["variables"]["prideprejudice"], [1063742, 271037])
        self.assertEqual(len(index["variables"]), 6)
        self.assertEqual(index["compressed"], [1])

    def test_every_truncation_is_an_error(self):
        whole = HEAD_3 + named(19, [strings("x"), ints(13, 2, 7, -8)], "text", "where")
        for end in range(len(whole)):
            with self.assertRaises((ValueError, struct.error)):
                rdata.Reader(whole[:end]).item()

    def test_what_is_not_read_is_named(self):
        with self.assertRaisesRegex(ValueError, "type 3"):
            rdata.Reader(HEAD_3 + ints(3)).item()
        with self.assertRaisesRegex(ValueError, "XDR"):
            rdata.Reader(b"A\n3\n").item()

    def test_a_package_of_two_texts(self):
        first, second = (zlib.compress(HEAD_3 + strings(text)) for text in ("one", "two"))
        first, second = (ints(len(HEAD_3) + 19) + part for part in (first, second))
        index = named(19, [named(19, [ints(13, 2, 0, len(first)), ints(13, 2, len(first), len(second))], "b", "a"),
                           ints(10, 1, 1)], "variables", "compressed")
        with tempfile.TemporaryDirectory() as folder:
            with gzip.open(folder + "/Rdata.rdx", "wb") as file:
                file.write(HEAD_3 + index)
            with open(folder + "/Rdata.rdb", "wb") as file:
                file.write(first + second)
            self.assertEqual(rdata.variables(folder), {"b": ["one"], "a": ["two"]})


class Texts(unittest.TestCase):
    NOVEL = ["EMMA", "", "VOLUME I", "", "CHAPTER I", "", "Emma Woodhouse,", "handsome", "", "Chapter 2", "", "Mr. Weston",
             "a chapter of accidents", "", "A NOTE ON THE TEXT", "Spelling"]

    def test_chapters_without_title_page_and_note(self):
        self.assertEqual(texts.chapters(self.NOVEL),
                         ["CHAPTER I\n\nEmma Woodhouse,\nhandsome\n", "Chapter 2\n\nMr. Weston\na chapter of accidents\n"])

    def test_what_is_tested_is_not_trained(self):
        self.apart(list(texts.python()))
        self.apart(list(texts.licences()))

    def apart(self, documents):
        trained = {text for tested, _, text in documents if not tested}
        held_out = {text for tested, _, text in documents if tested}
        self.assertGreater(len(trained), len(held_out))
        self.assertGreater(len(held_out), 0)
        self.assertFalse(trained & held_out)


if __name__ == "__main__":
    unittest.main()
