/* data/chat/tools.h - whether a chat template writes the tools of a row. */
#ifndef PAWL_DATA_CHAT_TOOLS_H
#define PAWL_DATA_CHAT_TOOLS_H

#include "data/chat/template.h"

/* 1 when the name of every tool that the conversation describes (tools) or calls (tool_calls, function_call) stands in the text
 * that was made of it, so also when it has none. */
int pawl_tools_written(const pawl_conversation *c, const pawl_text *text);

#endif
