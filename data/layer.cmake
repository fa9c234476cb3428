pawl_layer(data
  SOURCES blob.c cache.c config.c data.c files.c lineage.c order.c pack.c plain_rows.c prepare.c prepared.c reader.c renderer.c sample.c slot.c
          tokenizer.c utf8.c
  USES pawl_core pawl_comm
  LIBS PkgConfig::PCRE2 PkgConfig::UTF8PROC PkgConfig::ZLIB)
