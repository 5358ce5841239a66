/* The words of the command line, and the few functions of string.h that are used. */
#include "guest.h"

char command_line[4096];

void *memcpy(void *to, const void *from, size_t length)
{
    void *start = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(length) : : "memory");
    return start;
}

void *memset(void *to, int value, size_t length)
{
    void *start = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(length) : "a"(value) : "memory");
    return start;
}

int memcmp(const void *one, const void *other, size_t length)
{
    const uint8_t *a = one, *b = other;
    for (; length; length--, a++, b++)
        if (*a != *b)
            return *a - *b;
    return 0;
}

size_t strlen(const char *text)
{
    const char *end = text;
    while (*end)
        end++;
    return (size_t)(end - text);
}

int strncmp(const char *one, const char *other, size_t length)
{
    for (; length && *one && *one == *other; length--)
        one++, other++;
    return length ? (uint8_t)*one - (uint8_t)*other : 0;
}

int strcmp(const char *one, const char *other)
{
    return strncmp(one, other, (size_t)-1);
}

void words_init(vm_paddr_t start_info_paddr)
{
    const struct start_info *info = direct(start_info_paddr);
    if (info->magic != START_INFO_MAGIC || !info->cmdline_paddr)
        return;
    const char *given = direct(info->cmdline_paddr);
    for (size_t i = 0; i < sizeof(command_line) - 1 && given[i]; i++)
        command_line[i] = given[i];
}

static const char *next_word(const char *at)
{
    while (*at && *at != ' ')
        at++;
    while (*at == ' ')
        at++;
    return at;
}

const char *word_value(const char *name)
{
    static char value[256];
    size_t length = strlen(name);
    for (const char *at = command_line; *at; at = next_word(at))
        if (!strncmp(at, name, length) && at[length] == '=') {
            size_t n = 0;
            for (at += length + 1; *at && *at != ' ' && n < sizeof(value) - 1; at++)
                value[n++] = *at;
            value[n] = 0;
            return value;
        }
    return NULL;
}

bool word_given(const char *word)
{
    size_t length = strlen(word);
    for (const char *at = command_line; *at; at = next_word(at))
        if (!strncmp(at, word, length) && (!at[length] || at[length] == ' '))
            return true;
    return false;
}

bool word_is(const char *name, const char *value)
{
    const char *given = word_value(name);
    return given && !strcmp(given, value);
}
