pawl_layer(data
  SOURCES added.c blob.c bpe.c bytes.c cache.c config.c data.c decoder.c encode.c files.c find.c forms.c gguf_merges.c
          gguf_rules.c gguf_tokenizer.c gguf_vocab.c glob.c hands.c join.c leaks.c letters.c lineage.c load.c marked.c
          merge.c normalizer.c oniguruma.c order.c pack.c place.c plain_rows.c post.c prepare.c prepared.c
          pretokenizer.c reader.c regex.c renderer.c sample.c scanners.c slot.c sources.c split.c stream.c strings.c
          tokenizer.c unicode.c unit.c utf8.c values.c window.c work.c
  USES pawl_core pawl_comm
  LIBS PkgConfig::PCRE2 PkgConfig::UTF8PROC PkgConfig::ZLIB)
