/* What the newest checkpoint came from: a graph from the top down, of base, parents and adapters, then the run's
 * checkpoints. */
#include <math.h>
#include <string.h>

#include "launch/report/report.h"

enum { KEPT = 12 }; /* checkpoints shown; those between the first and the last ones are counted */

static void node(pawl_text *out, const char *kind, const char *name, const char *digest, const char *note)
{
    HTML(out, "<li class=\"$\"><span class=\"kind\">$</span> <bdi>$</bdi>", kind, kind, name);
    if (digest[0]) HTML(out, " <code title=\"$\">$</code>", digest, pawl_short_of(digest).text);
    if (note[0]) HTML(out, "<span class=\"note\">$</span>", note);
    HTML(out, "</li>");
}

/* A Hugging Face directory has its weights' digest, an imported file its own. */
static void model_node(pawl_text *out, const char *kind, const json_t *model)
{
    const json_t *imported = json_object_get(model, "imported"), *file = NULL;
    json_t *f;
    size_t i;
    if (!json_is_object(model)) return;
    json_array_foreach(json_object_get(model, "files"), i,
                       f) if (!file || pawl_number_of(f, "bytes") > pawl_number_of(file, "bytes")) file = f;
    const char *digest = imported ? pawl_word_of(imported, "sha256") : pawl_word_of(model, "root_sha256");
    node(out, kind, pawl_word_of(model, "path"), digest[0] ? digest : pawl_word_of(file, "sha256"),
         pawl_word_of(imported, "license"));
}

static void checkpoint_node(pawl_text *out, const json_t *k)
{
    HTML(out,
         "<li class=\"checkpoint\"><span class=\"kind\">checkpoint</span> <bdi>$</bdi> <code title=\"$\">$</code><span "
         "class=\"note\">$ stage $, $ ranks$$</span></li>",
         pawl_word_of(k, "checkpoint"), pawl_word_of(k, "root_sha256"),
         pawl_short_of(pawl_word_of(k, "root_sha256")).text, pawl_word_of(k, "created"), pawl_word_of(k, "stage"),
         pawl_count_of(pawl_number_of(k, "ranks")).text, json_is_true(json_object_get(k, "best")) ? ", best" : "",
         json_is_true(json_object_get(k, "latest")) ? ", newest" : "");
}

static void checkpoint_nodes(pawl_text *out, const json_t *all)
{
    const size_t count = json_array_size(all);
    for (size_t i = count; i-- > 0;) { /* newest first, as the log has them */
        const size_t age = count - 1 - i;
        if (count > KEPT && age == 2)
            HTML(out, "<li class=\"more\"><span class=\"note\">$ checkpoints between</span></li>",
                 pawl_count_of((double)(count - KEPT)).text);
        if (count <= KEPT || age < 2 || i < KEPT - 2) checkpoint_node(out, json_array_get(all, i));
    }
}

static void erasure_nodes(pawl_text *out, const json_t *erasures)
{
    json_t *e;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)erasures, i, e)
    {
        const char *document = pawl_word_of(e, "document");
        node(out, "erasure", document[0] ? "a document left the memory" : "a source left the memory",
             document[0] ? document : pawl_word_of(e, "source"), pawl_word_of(e, "at"));
    }
}

void pawl_report_lineage_graph(pawl_text *out, const pawl_report_view *v)
{
    const json_t *lineage = pawl_report_lineage(v->run), *parent = json_object_get(lineage, "parent");
    if (!json_is_object(lineage)) {
        HTML(out, "<p class=\"none\">Known from the first checkpoint on.</p>");
        return;
    }
    HTML(out, "<ol class=\"graph\">");
    model_node(out, "base", json_object_get(lineage, "base"));
    model_node(out, "adapter", json_object_get(lineage, "adapter_start"));
    model_node(out, "parent", parent);
    if (!json_is_object(json_object_get(lineage, "base")) && !json_is_object(parent))
        node(out, "new", "weights drawn from the seed", "", "");
    checkpoint_nodes(out, v->run->checkpoints);
    erasure_nodes(out, json_object_get(lineage, "erasures"));
    HTML(out, "</ol>");
}
