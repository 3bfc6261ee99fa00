/* SPDX-License-Identifier: Apache-2.0 */
/* A static library needs one file at least. */
typedef int rafs_test_support_is_never_empty;
