/*
 * How a test kernel starts, and takes its timer's interrupt. PVH: 32-bit protected mode, paging
 * off, EBX = start_info (Xen's docs/misc/pvh.pandoc). It goes to long mode, maps all memory below
 * 4 GiB at DIRECT and the first 2 GiB at KERNBASE, takes away the identity map (address 0 must
 * fault, as in the kernels that it stands for), and calls FIRST(start_info) and then SECOND().
 *
 * Selectors: 0x20 code, 0x28 data, as FreeBSD's.
 */
#define KERNBASE 0xffffffff80000000
#define PHYS(symbol) ((symbol) - KERNBASE)
#define PAGE 4096
#define CR4_PAE 0x20
#define CR0_PG_WP_NE_ET_PE 0x80010031
#define EFER 0xc0000080
#define EFER_LME 0x100

    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 4, 18              /* name size, descriptor size, XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long PHYS(PVH_ENTRY)

    .cfi_sections .debug_frame
    .text
    .code32
    .globl PVH_ENTRY
    .type PVH_ENTRY, @function
PVH_ENTRY:
    cld
    movl $PHYS(boot_stack_end), %esp
    lgdt PHYS(gdt_low)

    /* Four page directories of 2 MiB pages: the first 4 GiB. */
    movl $PHYS(directories), %edi
    movl $0x83, %eax            /* present, writable, 2 MiB */
    movl $(4 * 512), %ecx
1:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 1b
    movl $PHYS(directories) + 3, %eax
    movl %eax, PHYS(pointers_direct)
    movl %eax, PHYS(pointers_kernel) + 510 * 8
    addl $PAGE, %eax
    movl %eax, PHYS(pointers_direct) + 8
    movl %eax, PHYS(pointers_kernel) + 511 * 8
    addl $PAGE, %eax
    movl %eax, PHYS(pointers_direct) + 16
    addl $PAGE, %eax
    movl %eax, PHYS(pointers_direct) + 24
    movl $PHYS(pointers_direct) + 3, %eax
    movl %eax, PHYS(root_table)
    movl %eax, PHYS(root_table) + 496 * 8
    movl $PHYS(pointers_kernel) + 3, %eax
    movl %eax, PHYS(root_table) + 511 * 8

    movl $CR4_PAE, %eax
    movl %eax, %cr4
    movl $PHYS(root_table), %eax
    movl %eax, %cr3
    movl $EFER, %ecx
    rdmsr
    orl $EFER_LME, %eax
    wrmsr
    movl $CR0_PG_WP_NE_ET_PE, %eax
    movl %eax, %cr0
    ljmp $0x20, $PHYS(long_mode)

    .code64
long_mode:
    movabsq $high_half, %rax
    jmp *%rax
high_half:
    movl $0x28, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movq $boot_stack_end, %rsp
    lgdt gdt_high
    movq $0, root_table
    movq %cr3, %rax
    movq %rax, %cr3
    xorl %ebp, %ebp             /* the last frame */
    call traps_init
    movl %ebx, %edi
    call FIRST
    call SECOND
1:  hlt
    jmp 1b
    .size PVH_ENTRY, . - PVH_ENTRY

/* The one interrupt that is let through: the LAPIC timer's. */
    .globl timerint
    .type timerint, @function
timerint:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    call timer_interrupt
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rax
    .globl spuriousint
spuriousint:
    iretq
    .size timerint, . - timerint

    .data
    .balign 8
gdt:
    .quad 0, 0, 0, 0
    .quad 0x00af9b000000ffff    /* 0x20: code, 64 bits */
    .quad 0x00cf93000000ffff    /* 0x28: data */
gdt_low:
    .word gdt_low - gdt - 1
    .long PHYS(gdt)
gdt_high:
    .word gdt_low - gdt - 1
    .quad gdt

    .bss
    .balign PAGE
root_table:
    .skip PAGE
pointers_direct:
    .skip PAGE
pointers_kernel:
    .skip PAGE
directories:
    .skip 4 * PAGE
    .globl boot_stack, boot_stack_end
boot_stack:
    .skip 4 * PAGE
boot_stack_end:
    .section .note.GNU-stack, "", @progbits
