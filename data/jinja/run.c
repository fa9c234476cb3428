/* Statements, and rendering a template from beginning to end. */
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "data/jinja/jinja.h"
#include "data/jinja/eval.h"

enum { STEPS_MAX = 50000000 }; /* a second or two; a conversation of a thousand messages takes a thousandth */

/* ---- Assignments ---- */

static pawl_status assign(jinja_run *r, const jinja_node *target, jinja_value v);

static pawl_status assign_tuple(jinja_run *r, const jinja_nodes *targets, jinja_value v)
{
    jinja_value items;
    PAWL_TRY(jinja_items(r, v, &items));
    if (items.list->count != targets->count)
        return JINJA_FAIL(r, "%zu names cannot take %zu values", targets->count, items.list->count);
    for (size_t i = 0; i < targets->count; i++) PAWL_TRY(assign(r, targets->items[i], items.list->items[i]));
    return PAWL_OK;
}

static pawl_status assign(jinja_run *r, const jinja_node *target, jinja_value v)
{
    jinja_value of;
    if (target->op == JINJA_N_NAME) return jinja_scope_set(r, target->symbol, v);
    if (target->op == JINJA_N_TUPLE) return assign_tuple(r, &target->list, v);
    PAWL_TRY(jinja_eval(r, target->a, &of));
    if (of.kind != JINJA_NAMESPACE)
        return JINJA_FAIL(r, "only a namespace() takes attributes, and this is of type %s", jinja_kind_name(of.kind));
    if (target->text->bytes && target->text->data[0] == '_')
        return JINJA_FAIL(r, "a namespace cannot have attributes that begin with '_'");
    return jinja_dict_set(r, of.dict, jinja_of_string(target->text), v);
}

static pawl_status exec_set(jinja_run *r, const jinja_node *n)
{
    jinja_value v;
    PAWL_TRY(jinja_eval(r, n->b, &v));
    return assign(r, n->a, v);
}

/* ---- Output ---- */

static pawl_status exec_output(jinja_run *r, const jinja_node *n)
{
    jinja_value v;
    PAWL_TRY(jinja_eval(r, n->a, &v));
    return jinja_print(r, r->out, v);
}

pawl_status jinja_capture(jinja_run *r, const jinja_nodes *list, jinja_value *out)
{
    jinja_buffer text = {0}, *outer = r->out;
    r->out = &text;
    PAWL_TRY(jinja_scope_open(r));
    PAWL_TRY(jinja_exec(r, list));
    jinja_scope_close(r);
    r->out = outer;
    return jinja_buffer_string(r, &text, out);
}

/* The block's text through its filters. */
static pawl_status captured(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    const jinja_value outer = r->piped;
    PAWL_TRY(jinja_capture(r, &n->body, out));
    if (!n->b) return PAWL_OK;
    r->piped = *out;
    PAWL_TRY(jinja_eval(r, n->b, out));
    r->piped = outer;
    return PAWL_OK;
}

static pawl_status exec_set_block(jinja_run *r, const jinja_node *n)
{
    jinja_value v;
    PAWL_TRY(captured(r, n, &v));
    return assign(r, n->a, v);
}

static pawl_status exec_filter_block(jinja_run *r, const jinja_node *n)
{
    jinja_value v;
    PAWL_TRY(captured(r, n, &v));
    return jinja_print(r, r->out, v);
}

static pawl_status exec_generated(jinja_run *r, const jinja_node *n)
{
    const size_t at = r->out->bytes;
    PAWL_TRY(jinja_scope_open(r));
    PAWL_TRY(jinja_exec(r, &n->body));
    jinja_scope_close(r);
    return jinja_put_mark(r, r->out, at, r->out->bytes, JINJA_GENERATION);
}

/* ---- Flow ---- */

static pawl_status exec_if(jinja_run *r, const jinja_node *n)
{
    for (size_t i = 0; i + 1 < n->list.count; i += 2) {
        jinja_value condition;
        PAWL_TRY(jinja_eval(r, n->list.items[i], &condition));
        if (jinja_truth(condition)) return jinja_exec(r, &n->list.items[i + 1]->body);
    }
    return jinja_exec(r, &n->other);
}

static pawl_status exec_break(jinja_run *r, const jinja_node *n)
{
    r->flow = n->op == JINJA_N_BREAK ? JINJA_BREAK : JINJA_CONTINUE;
    return PAWL_OK;
}

/* The items of a loop: those for which its condition holds. */
static pawl_status loop_items(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    jinja_value all, kept;
    PAWL_TRY(jinja_eval(r, n->b, &all));
    PAWL_TRY(jinja_items(r, all, out));
    if (!n->c) return PAWL_OK;
    PAWL_TRY(jinja_list_new(r, JINJA_LIST, 0, &kept));
    PAWL_TRY(jinja_scope_open(r));
    for (size_t i = 0; i < out->list->count; i++) {
        jinja_value holds;
        r->scope->count = 0;
        PAWL_TRY(assign(r, n->a, out->list->items[i]));
        PAWL_TRY(jinja_eval(r, n->c, &holds));
        if (jinja_truth(holds)) PAWL_TRY(jinja_list_add(r, kept.list, out->list->items[i]));
    }
    jinja_scope_close(r);
    *out = kept;
    return PAWL_OK;
}

static pawl_status exec_for(jinja_run *r, const jinja_node *n)
{
    jinja_value items, loop = {.kind = JINJA_LOOP};
    PAWL_TRY(loop_items(r, n, &items));
    if (items.list->count == 0) return jinja_exec(r, &n->other);
    PAWL_TRY(jinja_pool_take(&r->pool, sizeof *loop.loop, (void **)&loop.loop));
    *loop.loop = (jinja_loop){.items = items.list, .depth = 1};
    PAWL_TRY(jinja_scope_open(r));
    for (size_t i = 0; i < items.list->count && r->flow != JINJA_BREAK; i++) {
        r->scope->count = 0; /* what the last round set is gone */
        r->flow = JINJA_GO_ON;
        loop.loop->at = i;
        PAWL_TRY(jinja_scope_set(r, JINJA_SYMBOL_LOOP, loop));
        PAWL_TRY(assign(r, n->a, items.list->items[i]));
        PAWL_TRY(jinja_spend(r, 1));
        PAWL_TRY(jinja_exec(r, &n->body));
    }
    r->flow = JINJA_GO_ON;
    jinja_scope_close(r);
    return PAWL_OK;
}

static pawl_status exec_with(jinja_run *r, const jinja_node *n)
{
    jinja_value *values;
    const size_t count = n->list.count / 2;
    PAWL_TRY(jinja_pool_take(&r->pool, count * sizeof *values, (void **)&values));
    for (size_t i = 0; i < count; i++) PAWL_TRY(jinja_eval(r, n->list.items[2 * i + 1], &values[i]));
    PAWL_TRY(jinja_scope_open(r));
    for (size_t i = 0; i < count; i++) PAWL_TRY(assign(r, n->list.items[2 * i], values[i]));
    PAWL_TRY(jinja_exec(r, &n->body));
    jinja_scope_close(r);
    return PAWL_OK;
}

/* ---- Macros ---- */

static pawl_status make_macro(jinja_run *r, const jinja_node *n, jinja_value *out)
{
    jinja_macro *m;
    PAWL_TRY(jinja_pool_take(&r->pool, sizeof *m, (void **)&m));
    *m = (jinja_macro){n, r->scope};
    *out = (jinja_value){.kind = JINJA_MACRO, .macro = m};
    return PAWL_OK;
}

static pawl_status exec_macro(jinja_run *r, const jinja_node *n)
{
    jinja_value v;
    PAWL_TRY(make_macro(r, n, &v));
    return jinja_scope_set(r, n->symbol, v);
}

static pawl_status bind_parameter(jinja_run *r, const jinja_node *n, size_t at, const jinja_args *a)
{
    const jinja_node *name = n->list.items[at];
    const size_t with_default = n->list.count - n->values.count, by_place = a->count - a->name_count;
    jinja_value v = jinja_undefined(name->text);
    const jinja_value *given = at < by_place ? &a->items[at] : NULL;
    for (size_t i = 0; i < a->name_count && !given; i++)
        if (jinja_string_order(a->names[i], name->text) == 0) given = &a->items[by_place + i];
    if (given)
        v = *given;
    else if (at >= with_default)
        PAWL_TRY(jinja_eval(r, n->values.items[at - with_default], &v));
    return jinja_scope_set(r, name->symbol, v);
}

static pawl_status check_call(jinja_run *r, const jinja_node *n, const jinja_args *a)
{
    if (a->count - a->name_count > n->list.count)
        return JINJA_FAIL(r, "the macro takes %zu arguments, found %zu", n->list.count, a->count - a->name_count);
    for (size_t i = 0; i < a->name_count; i++) {
        int known = jinja_string_is(a->names[i], "caller");
        for (size_t k = 0; k < n->list.count && !known; k++)
            known = jinja_string_order(a->names[i], n->list.items[k]->text) == 0;
        if (!known)
            return JINJA_FAIL(r, "the macro has no parameter '%.*s'", (int)a->names[i]->bytes, a->names[i]->data);
    }
    return PAWL_OK;
}

static pawl_status macro_body(jinja_run *r, const jinja_node *n, const jinja_args *a, jinja_value *out)
{
    PAWL_TRY(jinja_scope_open(r));
    for (size_t i = 0; i < n->list.count; i++) PAWL_TRY(bind_parameter(r, n, i, a));
    for (size_t i = 0; i < a->name_count; i++)
        if (jinja_string_is(a->names[i], "caller"))
            PAWL_TRY(jinja_scope_set(r, JINJA_SYMBOL_CALLER, a->items[a->count - a->name_count + i]));
    PAWL_TRY(jinja_capture(r, &n->body, out));
    jinja_scope_close(r);
    return PAWL_OK;
}

pawl_status jinja_call_macro(jinja_run *r, const jinja_macro *m, const jinja_args *a, jinja_value *out)
{
    jinja_scope *outer = r->scope;
    PAWL_TRY(check_call(r, m->node, a));
    r->scope = m->scope;
    PAWL_TRY(macro_body(r, m->node, a, out));
    r->scope = outer;
    return PAWL_OK;
}

/* The macro gets the block as its argument `caller`. */
static pawl_status exec_call_block(jinja_run *r, const jinja_node *n)
{
    const jinja_node *call = n->a;
    const size_t count = call->list.count;
    jinja_value callee, out, *items;
    const jinja_string **names, *caller = r->template->symbols[JINJA_SYMBOL_CALLER];
    PAWL_TRY(jinja_eval(r, call->a, &callee));
    PAWL_TRY(jinja_pool_take(&r->pool, (count + 1) * sizeof *items, (void **)&items));
    PAWL_TRY(jinja_pool_take(&r->pool, (call->name_count + 1) * sizeof *names, (void **)&names));
    for (size_t i = 0; i < count; i++) PAWL_TRY(jinja_eval(r, call->list.items[i], &items[i]));
    for (size_t i = 0; i < call->name_count; i++) names[i] = call->names[i];
    PAWL_TRY(make_macro(r, n, &items[count]));
    names[call->name_count] = caller;
    PAWL_TRY(jinja_call(r, callee, &(jinja_args){items, count + 1, names, call->name_count + 1}, &out));
    return jinja_print(r, r->out, out);
}

/* ---- A template ---- */

typedef pawl_status execute(jinja_run *r, const jinja_node *n);

static execute *const executors[JINJA_NODE_KINDS] = {
    [JINJA_N_OUTPUT] = exec_output,
    [JINJA_N_IF] = exec_if,
    [JINJA_N_FOR] = exec_for,
    [JINJA_N_SET] = exec_set,
    [JINJA_N_SET_BLOCK] = exec_set_block,
    [JINJA_N_MACRO_BLOCK] = exec_macro,
    [JINJA_N_CALL_BLOCK] = exec_call_block,
    [JINJA_N_FILTER_BLOCK] = exec_filter_block,
    [JINJA_N_WITH] = exec_with,
    [JINJA_N_GENERATED] = exec_generated,
    [JINJA_N_BREAK] = exec_break,
    [JINJA_N_CONTINUE] = exec_break,
};

pawl_status jinja_exec(jinja_run *r, const jinja_nodes *list)
{
    PAWL_TRY(jinja_deeper(r));
    for (size_t i = 0; i < list->count && r->flow == JINJA_GO_ON; i++) {
        r->line = list->items[i]->line;
        PAWL_TRY(executors[list->items[i]->op](r, list->items[i]));
    }
    r->depth--;
    return PAWL_OK;
}

int pawl_jinja_has_generation(const pawl_jinja *t)
{
    return t->has_generation;
}

void pawl_jinja_output_close(pawl_jinja_output *o)
{
    pawl_text_close(&o->text);
    pawl_free(o->pieces);
    memset(o, 0, sizeof *o);
}

static int by_place(const void *a, const void *b)
{
    const pawl_jinja_piece *x = a, *y = b;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static pawl_status keep_output(const jinja_buffer *b, pawl_jinja_output *out)
{
    out->text.bytes = 0;
    out->text.failed = 0;
    pawl_text_add_bytes(&out->text, b->data, b->bytes);
    PAWL_TRY(pawl_text_status(&out->text));
    if ((int64_t)b->mark_count > out->room) {
        PAWL_TRY(pawl_realloc((void **)&out->pieces, 2 * b->mark_count * sizeof *out->pieces,
                              "the pieces of a conversation"));
        out->room = 2 * (int64_t)b->mark_count;
    }
    out->count = (int64_t)b->mark_count;
    for (size_t i = 0; i < b->mark_count; i++)
        out->pieces[i] = (pawl_jinja_piece){(int64_t)b->marks[i].first, (int64_t)b->marks[i].end, b->marks[i].source};
    if (out->count > 1) qsort(out->pieces, (size_t)out->count, sizeof *out->pieces, by_place);
    return PAWL_OK;
}

/* A message is marked with its place; its role is not something that it says. */
static pawl_status messages_value(jinja_run *r, const json_t *json, jinja_value *out)
{
    PAWL_TRY(jinja_list_new(r, JINJA_LIST, json_array_size(json), out));
    for (size_t i = 0; i < json_array_size(json); i++) {
        jinja_value message, key, item;
        const char *name;
        json_t *value;
        PAWL_TRY(jinja_dict_new(r, JINJA_DICT, json_object_size(json_array_get(json, i)), &message));
        json_object_foreach(json_array_get(json, i), name, value)
        {
            const int32_t source = strcmp(name, "role") == 0 ? JINJA_NO_SOURCE : (int32_t)i;
            PAWL_TRY(jinja_string_new(r, name, strlen(name), &key));
            PAWL_TRY(jinja_from_json(r, value, source, &item));
            PAWL_TRY(jinja_dict_set(r, message.dict, key, item));
        }
        PAWL_TRY(jinja_list_add(r, out->list, message));
    }
    return PAWL_OK;
}

static pawl_status set_variable(jinja_run *r, const pawl_jinja_variable *v)
{
    jinja_value value;
    for (size_t i = 0; i < r->template->symbol_count; i++) {
        if (!jinja_string_is(r->template->symbols[i], v->name)) continue;
        if (v->is_messages)
            PAWL_TRY(messages_value(r, v->value, &value));
        else
            PAWL_TRY(jinja_from_json(r, v->value, JINJA_NO_SOURCE, &value));
        return jinja_scope_set(r, (int)i, value);
    }
    return PAWL_OK; /* the template does not ask for it */
}

static pawl_status render(jinja_run *r, const pawl_jinja_variable *variables, int count)
{
    PAWL_TRY(jinja_scope_open(r));
    for (int i = 0; i < count; i++) PAWL_TRY(set_variable(r, &variables[i]));
    PAWL_TRY(jinja_scope_open(r)); /* what the template sets hides what it was given */
    return jinja_exec(r, &r->template->body);
}

pawl_status pawl_jinja_render(const pawl_jinja *t, const pawl_jinja_variable *variables, int count, const char *date,
                              pawl_jinja_output *out)
{
    jinja_buffer text = {0};
    jinja_run r = {.pool = {.max = PAWL_JINJA_POOL_MAX}, .steps = STEPS_MAX, .template = t, .date = date, .out = &text};
    pawl_status status = render(&r, variables, count);
    if (status == PAWL_EMEM && r.pool.full)
        status = JINJA_FAIL(&r, "the template takes more than %d MiB of memory", PAWL_JINJA_POOL_MAX >> 20);
    if (status == PAWL_OK) status = keep_output(&text, out);
    jinja_pool_close(&r.pool);
    return status;
}
