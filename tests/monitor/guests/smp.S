/*
 * How the other processors start: in real mode at the page that SIPI names, then flat protected
 * mode, a stack each, and other_main(number). Intel SDM volume 3A, 9.4.4 (MP initialisation).
 */
    .set TRAMPOLINE, 0x8000
    .text
    .globl trampoline, trampoline_end
    .code16
trampoline:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    lgdtl TRAMPOLINE + (other_gdt_pointer - trampoline)
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $8, $other_start
    .balign 8
other_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff    /* 8: code, 4 GiB */
    .quad 0x00cf93000000ffff    /* 16: data, 4 GiB */
other_gdt_pointer:
    .word other_gdt_pointer - other_gdt - 1
    .long TRAMPOLINE + (other_gdt - trampoline)
trampoline_end:

    .code32
other_start:
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $1, %eax
    lock xaddl %eax, taken
    incl %eax                   /* its number */
    movl %eax, %ecx
    shll $12, %ecx
    leal stacks(%ecx), %esp
    lock incl started
    pushl %eax
    call other_main
1:  hlt
    jmp 1b

    .bss
    .globl started
    .balign 16
taken:
    .skip 4
started:
    .skip 4
    .balign 16
stacks:
    .skip 8 * 4096
    .section .note.GNU-stack, "", @progbits
