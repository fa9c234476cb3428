pawl_layer(data
  SOURCES blob.c cache.c choices.c config.c data.c files.c glob.c hands.c inside.c join.c kept.c leaks.c lineage.c marked.c order.c pack.c
          plain_rows.c prepare.c prepared.c prompts.c reader.c renderer.c sample.c show.c slot.c sources.c stream.c unit.c
          utf8.c values.c window.c work.c
          chat/conversation.c chat/named.c chat/rows.c chat/template.c chat/tools.c chat/turns.c chat/words.c
          jinja/container_methods.c jinja/escape.c jinja/eval.c jinja/expression.c jinja/filters.c jinja/functions.c
          jinja/lexer.c jinja/operand.c jinja/operators.c jinja/parser.c jinja/pool.c jinja/print.c jinja/run.c
          jinja/sequences.c jinja/statements.c jinja/string.c jinja/string_cutting.c jinja/string_methods.c jinja/tests.c jinja/value.c
          tokenizer/added.c tokenizer/bpe.c tokenizer/bytes.c tokenizer/decoder.c tokenizer/encode.c
          tokenizer/find.c tokenizer/folds.c tokenizer/forms.c tokenizer/gguf_merges.c
          tokenizer/gguf_rules.c tokenizer/gguf_tokenizer.c tokenizer/gguf_vocab.c tokenizer/letters.c tokenizer/load.c tokenizer/merge.c
          tokenizer/normalizer.c tokenizer/oniguruma.c tokenizer/oniguruma_classes.c tokenizer/place.c tokenizer/post.c tokenizer/pretokenizer.c
          tokenizer/regex.c tokenizer/scanners.c tokenizer/split.c tokenizer/strings.c tokenizer/tokenizer.c
          tokenizer/unicode.c
  USES pawl_core pawl_comm
  LIBS PkgConfig::PCRE2 PkgConfig::UTF8PROC PkgConfig::ZLIB)
