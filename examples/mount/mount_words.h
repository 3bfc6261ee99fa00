/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RAFS_MOUNT_WORDS_H
#define RAFS_MOUNT_WORDS_H

#include "mount.h"

/* The next word of -o, or NULL; *rest moves on, and commas become ends. Commas inside
 * "quotes" are part of a word. */
char *mount_word(char **rest);

/* `text` is -o, without rafs.NAME. False: reported and noted. Free it either way. */
bool mount_words_parse(struct command *c, struct mount_words *out, const char *text);
void mount_words_free(struct mount_words *words);

#endif
