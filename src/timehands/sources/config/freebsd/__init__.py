"""FreeBSD's configuration language: config(5), sys/conf/files* and sys/conf/options*."""
