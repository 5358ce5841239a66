"""The configuration language of NetBSD's config(1), and of OpenBSD's, which is an older one."""
