#include "data/chat/tools.h"

#include <string.h>

/* {"function": {"name": ...}} or {"name": ...}; what has no name cannot be looked for. */
static int written(const json_t *tool, const pawl_text *text)
{
    const json_t *function = json_object_get(tool, "function");
    const char *name = json_string_value(json_object_get(function ? function : tool, "name"));
    return !name || (text->data && strstr(text->data, name));
}

static int all_written(const json_t *list, const pawl_text *text)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!written(json_array_get(list, i), text)) return 0;
    return 1;
}

int pawl_tools_written(const pawl_conversation *c, const pawl_text *text)
{
    if (!all_written(c->tools, text)) return 0;
    for (size_t i = 0; i < json_array_size(c->messages); i++) {
        const json_t *m = json_array_get(c->messages, i), *one = json_object_get(m, "function_call");
        if (!all_written(json_object_get(m, "tool_calls"), text) || (one && !written(one, text))) return 0;
    }
    return 1;
}
