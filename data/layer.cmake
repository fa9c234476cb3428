pawl_layer(data
  SOURCES blob.c cache.c config.c data.c files.c glob.c hands.c join.c leaks.c lineage.c marked.c order.c pack.c
          plain_rows.c prepare.c prepared.c reader.c renderer.c sample.c slot.c sources.c stream.c tokenizer.c unit.c
          utf8.c values.c window.c work.c
  USES pawl_core pawl_comm
  LIBS PkgConfig::PCRE2 PkgConfig::UTF8PROC PkgConfig::ZLIB)
