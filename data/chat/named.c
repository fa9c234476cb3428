/* The templates that go by a name. Each marks by {% generation %} what the assistant writes: its text, and what ends
 * its turn. bos_token and eos_token are the tokenizer's, where there is one. */
#include <string.h>

#include "data/chat/template.h"

/* A first system message stands before the first user's text, in that user's turn. */
#define SYSTEM_IN_USER_TURN                                                                                            \
    "{% set before = '' %}{% set turns = messages %}"                                                                  \
    "{% if messages[0].role == 'system' %}{% set before = messages[0].content + '\n\n' %}"                             \
    "{% set turns = messages[1:] %}{% endif %}"                                                                        \
    "{% if before and (not turns or turns[0].role == 'assistant') %}"                                                  \
    "{{ raise_exception('a system message has its place in the user message behind it, and there is none') }}"         \
    "{% endif %}"

static const char chatml[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ m.content }}<|im_end|>{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant{{ '\n' }}{% endif %}";

static const char smollm2[] =
    "{% if messages[0].role != 'system' %}<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>{{ '\n' }}{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ m.content }}<|im_end|>{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant{{ '\n' }}{% endif %}";

static const char llama3[] =
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content | trim }}<|eot_id|>{% endgeneration %}"
    "{% else %}{{ m.content | trim }}<|eot_id|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>{{ '\n\n' }}{% endif %}";

static const char mistral[] = SYSTEM_IN_USER_TURN
    "{{ bos_token }}{% for m in turns %}{% if m.role == 'user' %}[INST] {{ (before if loop.first else '') + m.content "
    "}}[/INST]"
    "{% elif m.role == 'assistant' %}{{ ' ' }}{% generation %}{{ m.content + eos_token }}{% endgeneration %}"
    "{% else %}{{ raise_exception('mistral knows user and assistant messages behind the system message, found ' + "
    "m.role) }}"
    "{% endif %}{% endfor %}";

static const char gemma[] = SYSTEM_IN_USER_TURN
    "{{ bos_token }}{% for m in turns %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content | trim }}<end_of_turn>{% endgeneration %}"
    "{% else %}{{ ((before if loop.first else '') + m.content) | trim }}<end_of_turn>{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model{{ '\n' }}{% endif %}";

static const char zephyr[] =
    "{% for m in messages %}<|{{ m.role }}|>\n"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content + eos_token }}{% endgeneration %}"
    "{% else %}{{ m.content + eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{{ '\n' }}{% endif %}";

/* The Stanford prompt; a system message takes the place of its first sentence. */
static const char alpaca[] =
    "{{ bos_token }}{% for m in messages %}{% if loop.first and m.role != 'system' %}"
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.{{ "
    "'\n\n' }}"
    "{% elif not loop.first %}{{ '\n\n' }}{% endif %}"
    "{% if m.role == 'system' and loop.first %}{{ m.content }}"
    "{% elif m.role == 'user' %}### Instruction:\n{{ m.content }}"
    "{% elif m.role == 'assistant' %}### Response:\n{% generation %}{{ m.content + eos_token }}{% endgeneration %}"
    "{% else %}{{ raise_exception('alpaca knows a first system message, user and assistant messages, found ' + m.role) "
    "}}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '\n\n### Response:\n' }}{% endif %}";

const pawl_named_template pawl_named_templates[] = {
    {"chatml", chatml, "", "<|im_end|>", "<|im_end|>"},
    {"llama3", llama3, "<|begin_of_text|>", "<|eot_id|>", "<|eot_id|>"},
    {"mistral", mistral, "<s>", "</s>", NULL},
    {"gemma", gemma, "<bos>", "<end_of_turn>", "<end_of_turn>"},
    {"zephyr", zephyr, "", "</s>", NULL},
    {"alpaca", alpaca, "", "</s>", NULL},
    {"smollm2", smollm2, "", "<|im_end|>", "<|im_end|>"},
    {NULL, NULL, NULL, NULL, NULL},
};

const pawl_named_template *pawl_template_named(const char *name)
{
    for (const pawl_named_template *t = pawl_named_templates; t->name; t++)
        if (strcmp(t->name, name) == 0) return t;
    return NULL;
}
