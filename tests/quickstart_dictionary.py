"""The quickstart's questions and answers: dictd's files are read as dictd(8) describes them, and senses cut out whole."""

import json
import os
import struct
import sys
import tempfile
import unittest
import zlib

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "launch", "quickstart.d"))
import dictionary

# Entries of Webster's of 1913 (public domain), in the notation of GCIDE.
APYREXIA = r"""Apyrexia \Ap`y*rex"i*a\, Apyrexy \Ap"y*rex`y\, n. [NL. apyrexia,
   fr. Gr. 'apyrexi`a; 'a priv. + pyre`ssein to be feverish, fr.
   pyr fire.] (Med.)
   The absence or intermission of {fever}. --Dunglison.
   [1913 Webster]

"""
CALCULUS = r"""calculus \cal"cu*lus\, n.; pl. {Calculi}. [L, calculus. See
   {Calculate}, and {Calcule}.]
   1. (Med.) Any solid concretion, formed in any part of the
      body, but most frequent in the organs that act as
      reservoirs; as, biliary calculi.
      [1913 Webster]

   2. (Math.) A method of computation.
      [1913 Webster]

   3. (Med.)
      (a) A stone in the bladder, of which much is written. AS
      (b) See {Stone}.

"""
CACHEXY = 'Cachexy \\Ca*chex"y\\, n. (Med.)\n   A condition of ill health; -- called also {[`e]tat}.\n   [1913 Webster]\n\n'
FERRET = """ferret
ferret engine
FE

   <tool, programming> (FE) A program that {searches} for what
   others have hidden.  It was never finished.

   [Who wrote it?]

   (1996-05-28)

"""
BURROW = "burrow\n\n   <storage> A place to put what a {ferret} has found.\n\n   (1996-05-28)\n\n"


def digits(value):
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    out = letters[value % 64]
    while value >= 64:
        value //= 64
        out = letters[value % 64] + out
    return out


def dictzip(text):
    """gzip with the extra field in which dictzip keeps its table of chunks."""
    extra = b"RA" + struct.pack("<HHHHH", 8, 1, 58315, 1, 0)
    body = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (b"\x1f\x8b\x08\x04" + bytes(6) + struct.pack("<H", len(extra)) + extra + body.compress(text) + body.flush() +
            struct.pack("<II", zlib.crc32(text), len(text)))


def make(folder, name, *words_and_entries):
    text, index = b"\n\n", []
    for words, entry in words_and_entries:
        index += [f"{word}\t{digits(len(text))}\t{digits(len(entry.encode()))}\n" for word in words]
        text += entry.encode()
    with open(f"{folder}/{name}.dict.dz", "wb") as file:
        file.write(dictzip(text))
    with open(f"{folder}/{name}.index", "w", encoding="utf-8") as file:
        file.writelines(sorted(index))
    return folder


class Dictionary(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def found(self, kind, *entries):
        make(self.folder.name, dictionary.DICTIONARIES[kind][0], *entries)
        return [(row["messages"][0]["content"], row["messages"][1]["content"]) for _, row in dictionary.rows(kind, self.folder.name)]

    def test_medical_senses_without_the_dictionarys_marks(self):
        self.assertEqual(
            self.found("medical", (["Apyrexia", "Apyrexy"], APYREXIA), (["calculus", "calculi"], CALCULUS), (["cachexy"], CACHEXY)),
            [('What does "apyrexia" mean in medicine?', "The absence or intermission of fever."),
             ('What does "calculus" mean in medicine?', "Any solid concretion, formed in any part of the body, but most frequent in "
              "the organs that act as reservoirs; as, biliary calculi.")])

    def test_computing_senses(self):
        self.assertEqual(
            self.found("computing", (["ferret", "ferret engine", "fe"], FERRET), (["burrow"], BURROW)),
            [('What does "ferret" mean in computing?', "A program that searches for what others have hidden. It was never finished."),
             ('What does "burrow" mean in computing?', "A place to put what a ferret has found.")])

    def test_numbers_in_base_64(self):
        for value in (0, 63, 64, 4095, 4096, 39952321):
            self.assertEqual(dictionary.number(digits(value)), value)

    def test_an_index_that_points_behind_the_text_is_an_error(self):
        make(self.folder.name, "gcide", (["Apyrexia"], APYREXIA))
        with open(self.folder.name + "/gcide.index", "a", encoding="utf-8") as file:
            file.write("zymosis\tBAA\tB\n")
        with self.assertRaisesRegex(ValueError, "gcide.index names bytes 4096"):
            list(dictionary.rows("medical", self.folder.name))

    def test_a_word_is_trained_or_tested(self):
        sides = {word: dictionary.is_tested(word) for word in (f"word{n}" for n in range(2000))}
        self.assertTrue(60 < sum(sides.values()) < 140)
        self.assertTrue(all(dictionary.is_tested(word.upper()) == side for word, side in sides.items()))

    def test_files_are_the_same_every_time(self):
        words = [f"burrow {a}{b}" for a in "abcdefgh" for b in "abcdefghijklm"]
        entries = [([word], BURROW.replace("burrow", word)) for word in words]
        make(self.folder.name, "foldoc", *entries)
        for out in ("one", "two"):
            dictionary.write("computing", self.folder.name, f"{self.folder.name}/{out}")
        for split in ("train.jsonl", "test.jsonl"):
            one, two = (open(f"{self.folder.name}/{out}/{split}", encoding="utf-8").read() for out in ("one", "two"))
            self.assertEqual(one, two)
            self.assertTrue(all(set(json.loads(line)) == {"messages"} for line in one.splitlines()))


if __name__ == "__main__":
    unittest.main()
